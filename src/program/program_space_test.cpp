#include "program/program_space.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "model/error.h"
#include "program/random_subgraphs.h"
#include "program/space_conv.h"

namespace sonar {
namespace {

Target target_of(int vector_floats, int threads = 1) {
  Target target;
  target.halide = "host";
  target.vector_floats = vector_floats;
  target.registers = vector_floats == 16 ? 32 : 16;
  target.threads = threads;
  return target;
}

std::string message_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(ProgramSpace, EveryMoveIsLegalForAnyShape) {
  Random random(1);
  for (int i = 0; i < 1400; ++i) {
    Subgraph subgraph = random_subgraph(kEveryKind[i % kEveryKind.size()], random);
    if (random.below(3) == 0 &&
        subgraph.kind != SubgraphKind::fused_depthwise) {  // large ones too: nothing is compiled here
      subgraph.in_channels = 1 + random.below(1000);
      subgraph.out_channels =
          subgraph.kind == SubgraphKind::conv || subgraph.kind == SubgraphKind::dense
              ? 1 + random.below(1000)
              : subgraph.in_channels + (subgraph.kind == SubgraphKind::concat ? 1 + random.below(500) : 0);
    }
    constexpr int kLanes[] = {1, 4, 8, 16};
    const auto space = make_program_space(subgraph, target_of(kLanes[random.below(4)], 1 + random.below(2)));
    const Knobs fallback = space->default_program();
    ASSERT_EQ(space->why_illegal(fallback), "") << subgraph.key();
    const size_t features = space->features(fallback).size();
    Knobs a = space->random(random), b = space->random(random);
    for (int step = 0; step < 10; ++step) {
      for (const Knobs& knobs : {a, b}) {
        ASSERT_EQ(space->why_illegal(knobs), "") << subgraph.key() << " " << space->to_text(knobs);
        ASSERT_EQ(space->from_text(space->to_text(knobs)), knobs);
        const std::vector<float> f = space->features(knobs);
        ASSERT_EQ(f.size(), features);
        for (float value : f) ASSERT_TRUE(std::isfinite(value)) << subgraph.key() << " " << space->to_text(knobs);
      }
      const Knobs child = space->crossover(a, b, random);
      ASSERT_EQ(space->why_illegal(child), "");
      for (size_t k = 0; k < child.size(); ++k) ASSERT_TRUE(child[k] == a[k] || child[k] == b[k]);
      a = space->mutate(child, random);
    }
  }
}

TEST(ProgramSpace, ClosestLegalIsLegalForAnyShapeAndKeepsWhatItCan) {
  Random random(11);
  for (int i = 0; i < 600; ++i) {
    const SubgraphKind kind = kEveryKind[i % kEveryKind.size()];
    constexpr int kLanes[] = {1, 4, 8, 16};
    const Subgraph from = random_subgraph(kind, random), to = random_subgraph(kind, random);
    const auto source = make_program_space(from, target_of(kLanes[random.below(4)]));
    const auto space = make_program_space(to, target_of(kLanes[random.below(4)]));
    const auto named = [&](const Knobs& knobs) {
      std::vector<std::pair<std::string, int>> result = {{"of_another_version", 3}};
      for (size_t k = 0; k < knobs.size(); ++k)
        if (random.below(20) > 0) result.emplace_back(source->knobs()[k].name, knobs[k]);
      return result;
    };
    const auto program = named(source->random(random));
    const Knobs projected = space->closest_legal(program);
    ASSERT_EQ(space->why_illegal(projected), "") << from.key() << " to " << to.key();
    ASSERT_EQ(space->closest_legal(program), projected);
    // Values out of all reason are projected too.
    auto absurd = program;
    for (auto& [name, value] : absurd) value = static_cast<int>(random.below(1000000)) - 1000;
    ASSERT_EQ(space->why_illegal(space->closest_legal(absurd)), "") << to.key();
    // A legal program of the space itself stays.
    const Knobs own = space->random(random);
    std::vector<std::pair<std::string, int>> whole;
    for (size_t k = 0; k < own.size(); ++k) whole.emplace_back(space->knobs()[k].name, own[k]);
    ASSERT_EQ(space->closest_legal(whole), own) << to.key();
  }
  const auto space = make_program_space(parse_subgraph("conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-linear"), target_of(16));
  EXPECT_EQ(space->closest_legal({}), space->default_program());
}

TEST(ProgramSpace, ArgumentsHoldTheSubgraphsTensors) {
  Random random(2);
  for (int i = 0; i < 700; ++i) {
    const Subgraph subgraph = random_subgraph(kEveryKind[i % kEveryKind.size()], random);
    const auto space = make_program_space(subgraph, target_of(16));
    const std::vector<Argument> arguments = space->arguments(space->random(random));
    auto elements = [](const Argument& a) {
      long count = 1;
      for (int extent : a.extents) count *= extent;
      return count;
    };
    EXPECT_EQ(arguments.front().role, Argument::Role::input);
    EXPECT_EQ(elements(arguments.front()),
              long(subgraph.batch) * subgraph.height * subgraph.width * subgraph.in_channels);
    EXPECT_EQ(arguments.back().role, Argument::Role::output);
    EXPECT_EQ(elements(arguments.back()),
              long(subgraph.batch) * subgraph.out_height() * subgraph.out_width() * subgraph.out_channels);
    double weights = 0;
    bool residual = false;
    for (const Argument& a : arguments) {
      residual |= a.role == Argument::Role::residual;
      if (a.role != Argument::Role::weight && a.role != Argument::Role::bias) continue;
      if (a.block > 0) {
        const long blocks = (a.rows + a.block - 1) / a.block;
        EXPECT_EQ(a.extents.front(), a.block * a.unit);
        EXPECT_EQ(elements(a) % (blocks * a.block), 0);
        const long inner = elements(a) / (blocks * a.block), run = a.run == 0 ? inner : a.run;
        const long stored_run = (run + a.unit - 1) / a.unit * a.unit;
        EXPECT_EQ(inner % stored_run, 0);
        const double points = double(a.winograd_points) * a.winograd_points;  // that stand for 9 given values
        weights += inner / stored_run * run * a.rows * (points > 0 ? 9 / points : 1);
      } else {
        weights += elements(a);
      }
    }
    EXPECT_EQ(residual, subgraph.has_second_input());
    EXPECT_DOUBLE_EQ(weights * 4, subgraph.weight_bytes()) << subgraph.key();
  }
}

TEST(ProgramSpace, IsRichForConvolutions) {
  for (const char* key : {"conv-f32-n1-h56-w56-i64-o64-k3-s1-p1-relu", "conv-f32-n1-h224-w224-i3-o16-k3-s2-p1-hswish",
                          "conv-f32-n1-h28-w28-i72-o40-k3-s1-p1-relu", "conv-f32-n1-h14-w14-i48-o28-k5-s2-p2-relu",
                          "conv-f32-n1-h14-w14-i480-o80-k1-s1-p0-linear", "conv-f32-n1-h28-w28-i72-o24-k1-s1-p0-linear",
                          "conv-f32-n1-h7-w7-i160-o960-k1-s1-p0-hswish"})
    EXPECT_GE(make_program_space(parse_subgraph(key), target_of(16))->legal_size(), 1e5) << key;
  // Few channels or few pixels leave less to choose.
  for (const char* key : {"conv-f32-n1-h32-w32-i3-o16-k3-s2-p1-hswish", "conv-f32-n1-h8-w8-i60-o10-k1-s1-p0-linear"})
    EXPECT_GE(make_program_space(parse_subgraph(key), target_of(16))->legal_size(), 1e4) << key;
}

TEST(ProgramSpace, IsRichInLegalDepthwisePrograms) {
  for (const char* key :
       {"depthwise-f32-n1-h56-w56-i72-o72-k3-s1-p1-relu", "depthwise-f32-n1-h28-w28-i120-o120-k3-s1-p1-relu"})
    EXPECT_GE(make_program_space(parse_subgraph(key), target_of(16))->legal_size(), 1e5) << key;
}

TEST(ProgramSpace, CountsLegalProgramsExactlyInSmallSpaces) {
  const auto space = make_program_space(parse_subgraph("dense-f32-n1-h1-w1-i2-o1-k1-s1-p0-linear"), target_of(4));
  std::function<long(Knobs&, size_t)> legal = [&](Knobs& knobs, size_t knob) -> long {
    if (knob == knobs.size()) return space->why_illegal(knobs).empty();
    long sum = 0;
    for (int value : space->knobs()[knob].values) {
      knobs[knob] = value;
      sum += legal(knobs, knob + 1);
    }
    return sum;
  };
  Knobs knobs(space->knobs().size());
  EXPECT_EQ(space->legal_size(), legal(knobs, 0));
  EXPECT_GT(space->legal_size(), 0);
}

// The pixels of the image are read where they lie: nothing but the weights may depend on the knobs.
TEST(ProgramSpace, PacksDepthwiseWeightsInWholeChannelTiles) {
  const auto space =
      make_program_space(parse_subgraph("depthwise-f32-n1-h14-w14-i48-o48-k3-s1-p1-relu"), target_of(16));
  Random random(6);
  int packed = 0;
  for (int i = 0; i < 500; ++i) {
    const Knobs knobs = space->random(random);
    const Argument weight = space->arguments(knobs)[1];
    const bool in_tiles = space->to_text(knobs).find("packed=1") != std::string::npos;
    packed += in_tiles;
    EXPECT_EQ(weight.rows, 48);
    EXPECT_EQ(48 % weight.block, 0);
    EXPECT_EQ(weight.block < 48, in_tiles) << space->to_text(knobs);
  }
  EXPECT_GT(packed, 0);
}

TEST(ProgramSpace, MutationsReachEveryKnob) {
  const auto space = make_program_space(parse_subgraph("conv-f32-n1-h32-w32-i24-o48-k3-s1-p1-relu"), target_of(16));
  Random random(4);
  std::set<size_t> moved;
  // Some knobs have one value beside minimal filtering, others beside direct sums.
  for (int draw = 0; draw < 60; ++draw) {
    const Knobs parent = draw == 0 ? space->default_program() : space->random(random);
    for (int i = 0; i < 500; ++i) {
      const Knobs child = space->mutate(parent, random);
      EXPECT_NE(child, parent);
      for (size_t k = 0; k < child.size(); ++k)
        if (child[k] != parent[k]) moved.insert(k);
    }
  }
  for (size_t k = 0; k < space->knobs().size(); ++k)
    EXPECT_TRUE(space->knobs()[k].values.size() == 1 || moved.count(k)) << space->knobs()[k].name;
}

// Half the width and half the registers: what is legal follows from the instruction set that the program asks for.
TEST(ProgramSpace, Avx2IsAChoiceBesideAvx512Only) {
  const Subgraph subgraph = parse_subgraph("conv-f32-n1-h32-w32-i16-o48-k1-s1-p0-relu");
  const auto without = make_program_space(subgraph, target_of(16));
  EXPECT_EQ(without->knobs().back().name, "avx2");
  EXPECT_EQ(without->knobs().back().values, std::vector<int>{0});
  Target target = target_of(16);
  target.avx2 = true;
  const auto space = make_program_space(subgraph, target);
  Random random(7);
  int narrow = 0, fit_only_wide = 0;
  for (int i = 0; i < 300; ++i) {
    Knobs knobs = space->random(random);
    narrow += space->for_avx2(knobs);
    EXPECT_EQ(space->for_avx2(knobs), knobs.back() == 1);
    knobs.back() = 1;
    fit_only_wide += space->why_illegal(knobs) == "the tile's accumulators exceed the vector registers";
  }
  EXPECT_GT(narrow, 0);
  EXPECT_GT(fit_only_wide, 0);
}

TEST(ProgramSpace, TextErrorsNameTheKnob) {
  const auto space = make_program_space(parse_subgraph("pool-f32-n1-h4-w4-i64-o64-k1-s1-p0-linear"), target_of(16));
  const std::string text = space->to_text(space->default_program());
  EXPECT_NE(message_of([&] { space->from_text(text + " colour=3"); }).find("'colour=3' names no knob"),
            std::string::npos);
  EXPECT_NE(message_of([&] { space->from_text(text + " unroll=1"); }).find("knob 'unroll' is given twice"),
            std::string::npos);
  EXPECT_NE(
      message_of([&] { space->from_text("vector=7"); }).find("knob 'vector' cannot be '7'; its values are 8, 16, 32"),
      std::string::npos);
  EXPECT_NE(message_of([&] { space->from_text("vector=16x"); }).find("knob 'vector' cannot be '16x'"),
            std::string::npos);
  EXPECT_NE(message_of([&] { space->from_text("vector=16"); }).find("knob 'tile_vectors' is missing"),
            std::string::npos);
}

TEST(ProgramSpace, RefusesWhatIsNoProgram) {
  const auto space = make_program_space(parse_subgraph("conv-f32-n1-h8-w8-i16-o16-k1-s1-p0-linear"), target_of(16));
  Knobs knobs = space->default_program();
  EXPECT_NE(space->why_illegal({1, 2}), "");
  knobs[0] = 5;
  EXPECT_EQ(space->why_illegal(knobs), "vector cannot be 5");
  EXPECT_NE(message_of([] {
              make_program_space(parse_subgraph("conv-f32-n1-h1-w1-i3-o4-k3-s2-p0-linear"), target_of(16));
            }).find("the kernel is larger than the padded input"),
            std::string::npos);
}

// What the best programs found by tuning have in common is what the default programs begin with.
TEST(DefaultProgram, KeepsNarrowTilesShortAndTheirVectorsFull) {
  Target split = target_of(16);
  split.native_units = 1;
  const auto text = [&](const char* key) {
    const auto space = make_program_space(parse_subgraph(key), split);
    return space->to_text(space->default_program()) + " ";
  };
  // Eight channels fill half of a vector: where a whole one is executed in two halves, that costs nothing.
  const std::string narrow = text("conv-f32-n1-h32-w32-i24-o8-k1-s1-p0-linear");
  EXPECT_NE(narrow.find("vector=8 lane_taps=1 "), std::string::npos) << narrow;
  // A reduction of eight steps: short tiles overlap, and are unrolled whole.
  const auto space = make_program_space(parse_subgraph("conv-f32-n1-h64-w64-i8-o16-k1-s1-p0-relu"), split);
  const ConvSchedule s = decode_conv(space->default_program());
  EXPECT_EQ(s.unroll, 8);
  EXPECT_LE(s.tile_vectors * s.tile_width * s.tile_height, 10);
  EXPECT_GE(s.tile_vectors * s.tile_width * s.tile_height, 6);
  // Copies of a map of three channels cost more than loops of their own for its edges.
  const std::string first = text("conv-f32-n1-h224-w224-i3-o16-k3-s2-p1-hswish");
  EXPECT_NE(first.find("padding=6 "), std::string::npos) << first;
  // A row of tiles that is shifted back inside would be checked throughout.
  const auto first_space = make_program_space(parse_subgraph("conv-f32-n1-h160-w160-i3-o8-k3-s2-p1-hswish"), split);
  const ConvSchedule apart = decode_conv(first_space->default_program());
  EXPECT_EQ(apart.padding, ConvPadding::inlined_edges_apart);
  EXPECT_EQ(80 % apart.tile_width + 80 % apart.tile_height, 0);
  // Channels that fill no whole vectors: halves, not taps side by side.
  const std::string odd = text("conv-f32-n1-h14-w14-i528-o88-k1-s1-p0-linear-res");
  EXPECT_NE(odd.find("vector=8 lane_taps=1 "), std::string::npos) << odd;
  const std::string ninths = text("conv-f32-n1-h56-w56-i16-o72-k1-s1-p0-relu");
  EXPECT_NE(ninths.find("vector=8 lane_taps=1 tile_vectors=3 tile_width=4 "), std::string::npos) << ninths;
  const std::string few = text("depthwise-f32-n1-h64-w64-i24-o24-k3-s2-p1-relu");
  EXPECT_NE(few.find("vector=8 "), std::string::npos) << few;
  // A single input of a dense layer reads its weights in several streams where tiles divide the outputs.
  const std::string dense = text("dense-f32-n1-h1-w1-i960-o1280-k1-s1-p0-hswish");
  EXPECT_NE(dense.find("vector=8 tile_outputs=4 "), std::string::npos) << dense;
  EXPECT_NE(dense.find("streams=1 "), std::string::npos) << dense;
  // A large depthwise kernel with few vectors: fourteen pixels of one row, a row of the kernel sliding over them.
  const std::string depthwise = text("depthwise-f32-n1-h14-w14-i480-o480-k5-s1-p2-hswish");
  EXPECT_NE(depthwise.find("tile_vectors=1 tile_width=14 tile_height=1 "), std::string::npos) << depthwise;
  EXPECT_NE(depthwise.find("taps=1 "), std::string::npos) << depthwise;
}

TEST(HostTarget, IsPlausible) {
  const Target target = host_target();
  EXPECT_GE(target.vector_floats, 4);
  EXPECT_GE(target.native_units, 1);
  EXPECT_GE(target.l1_bytes, 8 << 10);
  EXPECT_GE(target.l2_bytes, target.l1_bytes);
}

}  // namespace
}  // namespace sonar
