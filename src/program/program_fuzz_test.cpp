// Random programs of random subgraphs of every kind are compiled, run, and compared with the reference.
#include <HalideRuntime.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "device/random_values.h"
#include "device/winograd_weights.h"
#include "graph/reference.h"
#include "process/process.h"
#include "program/compiler.h"
#include "program/random_subgraphs.h"
#include "program/space_conv.h"
#include "program/space_fused_depthwise.h"

namespace sonar {
namespace {

constexpr int kGuards = 64;
constexpr float kGuard = 12345.0f;

/// One folder for all tests of the process, so that Halide's runtime is compiled once.
struct WorkFolder {
  std::string path = fmt::format("{}/sonar-program-fuzz-{}", testing::TempDir(), getpid());
  ~WorkFolder() { std::filesystem::remove_all(path); }
};

const std::string& work_folder() {
  static const WorkFolder folder;
  return folder.path;
}

std::vector<float> pack(const std::vector<float>& given, const Argument& argument) {
  if (argument.block == 0) return given;
  std::vector<float> values = given;
  if (argument.winograd_points > 0) {
    const size_t points = argument.winograd_points, channels = given.size() / argument.rows / 9;
    values.resize(argument.rows * points * points * channels);
    winograd_weights(argument.winograd_points, argument.rows, channels, given.data(), values.data());
  }
  const size_t inner = values.size() / argument.rows;
  const size_t blocks = (argument.rows + argument.block - 1) / argument.block;
  const size_t unit = argument.unit, run = argument.run == 0 ? inner : argument.run;
  const size_t units = (run + unit - 1) / unit, stored_inner = inner / run * units;
  std::vector<float> packed(blocks * stored_inner * argument.block * unit, 0.0f);
  for (int row = 0; row < argument.rows; ++row)
    for (size_t i = 0; i < inner; ++i) {
      const size_t unit_index = i / run * units + i % run / unit;
      const size_t block_start = (row / argument.block * stored_inner + unit_index) * argument.block;
      packed[(block_start + row % argument.block) * unit + i % run % unit] = values[row * inner + i];
    }
  return packed;
}

/// Runs a compiled program between guards; returns the output. With `bare`, buffers carry nothing but their host
/// pointer.
std::vector<float> run(int (*function)(void**), const std::vector<Argument>& arguments,
                       const std::vector<std::vector<float>>& inputs, bool bare) {
  std::vector<std::vector<float>> storage;
  std::vector<halide_buffer_t> buffers(arguments.size(), halide_buffer_t{});
  std::vector<std::vector<halide_dimension_t>> dimensions(arguments.size());
  std::vector<void*> pointers;
  for (size_t i = 0; i < arguments.size(); ++i) {
    int elements = 1;
    for (int extent : arguments[i].extents) {
      dimensions[i].push_back(halide_dimension_t(0, extent, elements));
      elements *= extent;
    }
    const bool output = i + 1 == arguments.size();
    std::vector<float> values = output ? std::vector<float>(elements, NAN) : pack(inputs[i], arguments[i]);
    EXPECT_EQ(values.size(), size_t(elements)) << "argument " << i;
    values.insert(values.begin(), kGuards, kGuard);
    values.insert(values.end(), kGuards, kGuard);
    storage.push_back(std::move(values));
    buffers[i].host = reinterpret_cast<uint8_t*>(storage.back().data() + kGuards);
    buffers[i].type = halide_type_t(halide_type_float, 32);
    if (!bare) {
      buffers[i].dimensions = static_cast<int>(dimensions[i].size());
      buffers[i].dim = dimensions[i].data();
    }
    pointers.push_back(&buffers[i]);
  }
  EXPECT_EQ(function(pointers.data()), 0);
  const std::vector<float>& out = storage.back();
  for (int g = 0; g < kGuards; ++g) {
    EXPECT_EQ(out[g], kGuard) << "a write " << kGuards - g << " floats before the output";
    EXPECT_EQ(out[out.size() - 1 - g], kGuard) << "a write beyond the output";
  }
  return {out.begin() + kGuards, out.end() - kGuards};
}

struct Trial {
  CompileRequest request;
  std::shared_ptr<const ProgramSpace> space;
};

std::vector<Trial> make_trials(const Target& target, SubgraphKind kind, int subgraphs, int programs_each,
                               Random& random) {
  std::vector<Trial> trials;
  for (int i = 0; i < subgraphs; ++i) {
    const Subgraph subgraph = random_subgraph(kind, random);
    std::shared_ptr<const ProgramSpace> space = make_program_space(subgraph, target);
    for (int p = 0; p < programs_each; ++p) {
      const Knobs knobs = p == 0 ? space->default_program() : space->random(random);
      trials.push_back({{subgraph, knobs, fmt::format("program_{}_{}", to_text(kind), trials.size())}, space});
    }
  }
  return trials;
}

void compile_run_and_compare(const Target& target, const std::vector<Trial>& trials, bool asserts) {
  CompilerOptions options;
  options.target = target;
  options.work_folder = work_folder();
  options.worker = SONAR_BIN_DIR "/sonar-compiler";
  options.asserts = asserts;
  options.time_limit_s = 120;  // of a machine that does other work
  Compiler compiler(options);
  std::vector<CompileRequest> requests;
  for (const Trial& trial : trials) requests.push_back(trial.request);
  const std::vector<CompileResult> results = compile_all(compiler, requests);
  ASSERT_EQ(results.size(), trials.size());

  static int libraries = 0;
  const std::string library = fmt::format("{}/programs-{}.so", work_folder(), libraries++);
  ProcessOptions link;
  link.command = {"c++", "-shared", "-Wl,-Bsymbolic", "-o", library, compiler.runtime_object()};
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_FALSE(results[i].error) << trials[i].request.subgraph.key() << " "
                                   << trials[i].space->to_text(trials[i].request.knobs) << ": "
                                   << results[i].error->message;
    link.command.push_back(results[i].object);
  }
  const ProcessResult linked = run_process(link);
  ASSERT_EQ(linked.exit_code, 0) << linked.err;
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  uint64_t seed = 1;
  for (const Trial& trial : trials) {
    SCOPED_TRACE(trial.request.subgraph.key() + " " + trial.space->to_text(trial.request.knobs));
    std::vector<std::vector<float>> inputs;
    for (long count : subgraph_input_sizes(trial.request.subgraph)) {
      inputs.emplace_back(count);
      random_values(seed++, count, 1.0f, inputs.back().data());
    }
    const std::vector<float> expected = run_subgraph_reference(trial.request.subgraph, inputs);
    auto function = reinterpret_cast<int (*)(void**)>(dlsym(handle, (trial.request.name + "_argv").c_str()));
    ASSERT_NE(function, nullptr);
    const std::vector<float> got =
        run(function, trial.space->arguments(trial.request.knobs), inputs, !asserts && seed % 2 == 0);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_LE(std::fabs(got[i] - expected[i]), 1e-4f * (1 + std::fabs(expected[i]))) << "element " << i;
  }
  dlclose(handle);
}

class ProgramFuzz : public testing::TestWithParam<SubgraphKind> {};

TEST_P(ProgramFuzz, AgreesWithTheReference) {
  Random random(derive_seed(11, to_text(GetParam())));
  compile_run_and_compare(host_target(), make_trials(host_target(), GetParam(), 6, 3, random), false);
}

TEST_P(ProgramFuzz, StaysInBoundsByHalidesOwnChecks) {
  Random random(derive_seed(12, to_text(GetParam())));
  compile_run_and_compare(host_target(), make_trials(host_target(), GetParam(), 3, 3, random), true);
}

TEST_P(ProgramFuzz, NarrowTargetWithThreads) {
  Target target = host_target();
  target.vector_floats = 4;
  target.registers = 16;
  target.threads = 2;
  Random random(derive_seed(13, to_text(GetParam())));
  compile_run_and_compare(target, make_trials(target, GetParam(), 2, 3, random), false);
}

/// Programs of given subgraphs that hold every value of every knob at least once, where one is found.
std::vector<Trial> trials_of_every_value(const Target& target, const std::vector<std::string>& keys, Random& random) {
  constexpr int kTries = 120;
  std::vector<Trial> trials;
  for (const std::string& key : keys) {
    const Subgraph subgraph = parse_subgraph(key);
    std::shared_ptr<const ProgramSpace> space = make_program_space(subgraph, target);
    std::set<std::pair<size_t, int>> seen;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const Knobs knobs = attempt == 0 ? space->default_program() : space->random(random);
      bool news = false;
      for (size_t k = 0; k < knobs.size(); ++k) news |= seen.insert({k, knobs[k]}).second;
      if (news) trials.push_back({{subgraph, knobs, fmt::format("program_value_{}", trials.size())}, space});
    }
  }
  return trials;
}

// The border is most of a tiny map, and odd channels end in shifted vectors: each treatment of either must be right.
TEST(DepthwiseFuzz, EveryKnobOnTinyMapsAndOddChannels) {
  const std::vector<std::string> keys = {
      "depthwise-f32-n2-h7-w7-i18-o18-k3-s1-p1-hswish",     "depthwise-f32-n1-h4-w4-i32-o32-k5-s1-p2-relu-res",
      "depthwise-f32-n1-h2-w2-i60-o60-k3-s1-p1-hswish",     "depthwise-f32-n3-h1-w1-i10-o10-k5-s1-p2-linear",
      "depthwise-f32-n1-h14-w15-i6-o6-k5-s2-p2-relu",       "depthwise-f32-n1-h9-w16-i36-o36-k3-s2-p1-hsigmoid",
      "depthwise-f32-n1-h28-w13-i120-o120-k3-s1-p1-linear",
  };
  Random random(14);
  compile_run_and_compare(host_target(), trials_of_every_value(host_target(), keys, random), false);
}

TEST(DepthwiseFuzz, EveryKnobWithHalidesChecksAndThreads) {
  Target target = host_target();
  target.threads = 2;
  Random random(15);
  compile_run_and_compare(
      target,
      trials_of_every_value(
          target, {"depthwise-f32-n2-h7-w7-i40-o40-k3-s1-p1-relu", "depthwise-f32-n1-h5-w9-i33-o33-k5-s2-p2-linear"},
          random),
      true);
}

TEST(PoolAndSqueezeExciteFuzz, EveryKnobOnTinyMapsAndOddChannels) {
  Random random(16);
  compile_run_and_compare(
      host_target(),
      trials_of_every_value(
          host_target(),
          {"se-f32-n2-h4-w4-i60-o60-k1-s1-p0-q16-linear", "se-f32-n1-h1-w3-i10-o10-k1-s1-p0-q3-linear",
           "pool-f32-n3-h2-w7-i36-o36-k1-s1-p0-linear", "pool-f32-n1-h1-w1-i5-o5-k1-s1-p0-linear"},
          random),
      false);
}

TEST(DenseFuzz, EveryKnobAlsoWithBatches) {
  const std::vector<std::string> keys = {"dense-f32-n1-h1-w1-i40-o128-k1-s1-p0-hswish",
                                         "dense-f32-n3-h1-w1-i24-o96-k1-s1-p0-relu-res",
                                         "dense-f32-n2-h1-w1-i37-o30-k1-s1-p0-linear"};
  Random random(19);
  compile_run_and_compare(host_target(), trials_of_every_value(host_target(), keys, random), false);
  compile_run_and_compare(host_target(), trials_of_every_value(host_target(), {keys[1]}, random), true);
}

// Every fusion of every form of block, over borders that are most of the map, bands that do not divide it, channels
// that fill no vector, more rows between two bands than a band has.
const std::vector<std::string> kBlocks = {
    "block-f32-n1-h9-w7-i5-o7-k3-s1-p1-m18-expand-relu6-dw-hswish-project-linear",
    "block-f32-n2-h12-w11-i8-o24-k5-s2-p2-m33-expand-hswish-dw-relu-project-linear",
    "block-f32-n1-h7-w8-i16-o16-k5-s1-p2-m64-expand-relu-dw-relu-project-res-relu",
    "block-f32-n1-h10-w14-i6-o40-k3-s2-p1-m40-expand-silu-dw-relu",
    "block-f32-n3-h6-w5-i13-o13-k3-s1-p0-m13-expand-linear-dw-linear",
    "block-f32-n2-h11-w6-i24-o10-k3-s1-p1-m24-dw-relu-project-hswish-res",
    "block-f32-n1-h1-w9-i3-o4-k3-s1-p1-m48-expand-relu-dw-relu-project-linear",
    "block-f32-n1-h16-w5-i8-o8-k2-s2-p0-m32-expand-relu-dw-relu-project-linear-res"};

TEST(FusedDepthwiseFuzz, EveryKnobOnTinyMapsAndOddChannels) {
  Random random(20);
  compile_run_and_compare(host_target(),
                          trials_of_every_value(host_target(), {kBlocks[0], kBlocks[1], kBlocks[4]}, random), false);
}

TEST(FusedDepthwiseFuzz, EveryKnobWithHalidesChecksAndThreads) {
  Target target = host_target();
  target.threads = 2;
  Random random(21);
  compile_run_and_compare(target, trials_of_every_value(target, {kBlocks[2], kBlocks[5]}, random), true);
}

/// Draws of each fusion, as draws of single values hold few of the rarer combinations.
TEST(FusedDepthwiseFuzz, EveryFusionWithHalidesChecks) {
  Random random(22);
  std::vector<Trial> trials;
  std::map<std::pair<StageFusion, bool>, int> seen;
  for (const std::string& key : kBlocks) {
    const Subgraph subgraph = parse_subgraph(key);
    std::shared_ptr<const ProgramSpace> space = make_program_space(subgraph, host_target());
    std::map<std::pair<StageFusion, bool>, int> of_this;
    for (int draw = 0; draw < 300; ++draw) {
      const Knobs knobs = space->random(random);
      const FusedSchedule s = decode_fused(subgraph, knobs);
      if (s.rows == 0 || ++of_this[{s.fusion, s.by_channels}] > 2) continue;
      ++seen[{s.fusion, s.by_channels}];
      trials.push_back({{subgraph, knobs, fmt::format("fused_{}", trials.size())}, space});
    }
  }
  EXPECT_EQ(seen.size(), 5u);  // by channels are no whole maps
  compile_run_and_compare(host_target(), trials, true);
}

/// Channels that fill no vector, whose programs lay taps side by side; maps and batches of all sizes.
TEST(ProgramFuzzConv, TapsSideBySide) {
  Random random(14);
  std::vector<Trial> trials;
  for (const char* key : {"conv-f32-n1-h4-w4-i20-o6-k1-s1-p0-linear-res", "conv-f32-n3-h2-w2-i60-o10-k1-s1-p0-relu",
                          "conv-f32-n1-h9-w7-i8-o28-k1-s2-p0-hswish", "conv-f32-n2-h9-w8-i3-o8-k3-s2-p1-hswish",
                          "conv-f32-n1-h7-w7-i6-o18-k3-s1-p1-relu", "conv-f32-n5-h1-w1-i36-o20-k1-s1-p0-linear",
                          "conv-f32-n1-h6-w5-i4-o12-k5-s1-p2-linear", "conv-f32-n1-h11-w11-i16-o24-k3-s1-p0-linear"}) {
    const Subgraph subgraph = parse_subgraph(key);
    std::shared_ptr<const ProgramSpace> space = make_program_space(subgraph, host_target());
    for (int p = 0; p < 3; ++p) {
      Knobs knobs = space->random(random);
      for (int draw = 0; draw < 400 && decode_conv(knobs).lane_taps == 1; ++draw) knobs = space->random(random);
      trials.push_back({{subgraph, knobs, fmt::format("taps_{}", trials.size())}, space});
    }
  }
  int side_by_side = 0;
  for (const Trial& trial : trials) side_by_side += decode_conv(trial.request.knobs).lane_taps > 1;
  if (host_target().vector_floats >= 8) {
    EXPECT_GT(side_by_side, 12);
  }
  compile_run_and_compare(host_target(), trials, false);
  compile_run_and_compare(host_target(), {trials.begin(), trials.begin() + 9}, true);
}

/// AVX2 beside AVX-512, groups and bands that are cut at their ends.
TEST(ProgramFuzzConv, EveryKnob) {
  const std::vector<std::string> keys = {
      "conv-f32-n1-h6-w8-i16-o72-k1-s1-p0-relu", "conv-f32-n2-h8-w6-i24-o33-k1-s1-p0-hswish-res",
      "conv-f32-n1-h12-w12-i3-o16-k3-s2-p1-hswish", "conv-f32-n2-h6-w9-i10-o36-k3-s1-p1-linear",
      "conv-f32-n1-h12-w12-i12-o50-k1-s2-p0-relu-res"};
  Random random(18);
  compile_run_and_compare(host_target(), trials_of_every_value(host_target(), keys, random), false);
  compile_run_and_compare(host_target(), trials_of_every_value(host_target(), {keys[0], keys[2]}, random), true);
}

/// Tiles beyond the last pixel, blocks of rows and of images, channels that fill no vector, every fusion.
TEST(ProgramFuzzConv, MinimalFiltering) {
  Random random(17);
  std::vector<Trial> trials;
  for (const char* key : {"conv-f32-n1-h7-w7-i32-o48-k3-s1-p1-relu", "conv-f32-n4-h8-w5-i5-o10-k3-s1-p1-hswish-res",
                          "conv-f32-n1-h13-w11-i24-o40-k3-s1-p0-linear", "conv-f32-n3-h3-w3-i37-o7-k3-s1-p0-silu",
                          "conv-f32-n2-h1-w9-i3-o33-k3-s1-p1-linear", "conv-f32-n1-h12-w17-i16-o64-k3-s1-p2-relu6",
                          "conv-f32-n1-h16-w16-i32-o48-k3-s2-p1-relu", "conv-f32-n4-h9-w14-i5-o10-k3-s2-p1-hswish-res",
                          "conv-f32-n1-h13-w11-i24-o40-k3-s2-p0-linear", "conv-f32-n2-h3-w15-i3-o33-k3-s2-p2-relu"}) {
    const Subgraph subgraph = parse_subgraph(key);
    std::shared_ptr<const ProgramSpace> space = make_program_space(subgraph, host_target());
    for (int tile : {2, 4, 4}) {
      Knobs knobs = space->random(random);
      for (int draw = 0; draw < 400 && decode_conv(knobs).winograd != tile; ++draw) knobs = space->random(random);
      ASSERT_EQ(decode_conv(knobs).winograd, tile) << key;
      trials.push_back({{subgraph, knobs, fmt::format("winograd_{}", trials.size())}, space});
    }
  }
  compile_run_and_compare(host_target(), trials, false);
  compile_run_and_compare(host_target(), {trials.begin(), trials.begin() + 6}, true);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ProgramFuzz, testing::ValuesIn(kEveryKind),
                         [](const auto& info) { return std::string(to_text(info.param)); });

}  // namespace
}  // namespace sonar
