#include "model/subgraph.h"

#include <gtest/gtest.h>

#include <set>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

TEST(Subgraph, KeyRoundTripsOverRandomSubgraphs) {
  Random random(7);
  for (int i = 0; i < 4000; ++i) {
    Subgraph s;
    s.kind = static_cast<SubgraphKind>(1 + random.below(14));
    s.batch = 1 + random.below(32);
    s.height = 1 + random.below(224);
    s.width = 1 + random.below(224);
    s.in_channels = 1 + random.below(960);
    s.out_channels = 1 + random.below(960);
    s.kernel = 1 + random.below(7);
    s.stride = 1 + random.below(2);
    s.padding = random.below(4);
    s.squeeze = s.kind == SubgraphKind::squeeze_excite ? 1 + random.below(240) : 0;
    s.activation = static_cast<Activation>(random.below(7));
    s.residual = random.below(2);
    const bool fused = s.kind == SubgraphKind::fused_depthwise;
    const bool weighted =
        s.kind == SubgraphKind::conv || s.kind == SubgraphKind::depthwise || s.kind == SubgraphKind::dense || fused;
    s.activation_last = weighted && s.residual && s.activation != Activation::none && random.below(2);
    if (s.kind >= SubgraphKind::max_pool && !fused) {
      const bool window = s.kind <= SubgraphKind::average_pool;
      s.residual = false;
      s.out_channels = s.in_channels + (s.kind == SubgraphKind::concat ? 1 + random.below(100) : 0);
      if (!window) s.kernel = 1;
      s.padding = window ? random.below(s.kernel) : 0;
      if (!window && s.kind != SubgraphKind::resize) s.stride = 1;
      if (window || s.kind >= SubgraphKind::concat) s.activation = Activation::none;
      if (s.kind == SubgraphKind::activate) s.activation = static_cast<Activation>(1 + random.below(6));
    }
    if (fused) {
      s.padding = random.below(s.kernel);
      const uint64_t form = random.below(3);
      s.expands = form != 1, s.projects = form != 2;
      s.middle_channels = s.expands && s.projects ? 1 + random.below(960) : s.expands ? s.out_channels : s.in_channels;
      if (s.expands) s.expand_activation = static_cast<Activation>(random.below(7));
      if (s.projects) s.middle_activation = static_cast<Activation>(random.below(7));
    }
    EXPECT_EQ(parse_subgraph(s.key()), s) << s.key();
  }
}

TEST(Subgraph, EveryTruncationOfAKeyIsRefusedOrDifferent) {
  const SubgraphKey key = "conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish-res";
  EXPECT_EQ(parse_subgraph(key).key(), key);
  for (size_t cut = 0; cut < key.size(); ++cut) {
    const SubgraphKey part = key.substr(0, cut);
    if (part == "conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish") continue;  // a whole key of its own
    EXPECT_THROW(parse_subgraph(part), UserError) << part;
  }
}

TEST(Subgraph, ABlockIsItsStages) {
  const SubgraphKey key = "block-f32-n2-h56-w28-i24-o32-k3-s2-p1-m144-expand-relu6-dw-hswish-project-linear";
  const Subgraph block = parse_subgraph(key);
  std::vector<SubgraphKey> stages;
  double macs = 0, weight_bytes = 0;
  for (const Subgraph& stage : stages_of(block)) {
    stages.push_back(stage.key());
    macs += stage.macs(), weight_bytes += stage.weight_bytes();
  }
  EXPECT_EQ(stages, (std::vector<SubgraphKey>{"conv-f32-n2-h56-w28-i24-o144-k1-s1-p0-relu6",
                                              "depthwise-f32-n2-h56-w28-i144-o144-k3-s2-p1-hswish",
                                              "conv-f32-n2-h28-w14-i144-o32-k1-s1-p0-linear"}));
  EXPECT_EQ(block.macs(), macs);
  EXPECT_EQ(block.weight_bytes(), weight_bytes);
  EXPECT_EQ(block.out_height(), 28);
  EXPECT_FALSE(block.has_second_input());
  // The residual and the last activation are the last stage's, whichever it is.
  const auto last = [](const char* text) { return stages_of(parse_subgraph(text)).back().key(); };
  EXPECT_EQ(last("block-f32-n1-h8-w8-i4-o6-k3-s1-p1-m4-dw-relu-project-res-silu"),
            "conv-f32-n1-h8-w8-i4-o6-k1-s1-p0-res-silu");
  EXPECT_EQ(last("block-f32-n1-h8-w8-i4-o6-k5-s1-p2-m6-expand-relu-dw-hswish-res"),
            "depthwise-f32-n1-h8-w8-i6-o6-k5-s1-p2-hswish-res");
  EXPECT_EQ(stages_of(stages_of(block)[0]), std::vector<Subgraph>{stages_of(block)[0]});
  for (size_t cut = 0; cut < key.size(); ++cut) EXPECT_THROW(parse_subgraph(key.substr(0, cut)), UserError) << cut;
}

TEST(Subgraph, KeysOfRecordsStayAsTheyAre) {
  Subgraph s{.kind = SubgraphKind::conv, .batch = 1, .height = 32, .width = 30, .in_channels = 3, .out_channels = 16};
  s.kernel = 3, s.padding = 1, s.activation = Activation::hard_swish, s.residual = true;
  EXPECT_EQ(s.key(), "conv-f32-n1-h32-w30-i3-o16-k3-s1-p1-hswish-res");
  s.activation_last = true;
  EXPECT_EQ(s.key(), "conv-f32-n1-h32-w30-i3-o16-k3-s1-p1-res-hswish");
  s.kind = SubgraphKind::squeeze_excite, s.squeeze = 8, s.activation = Activation::none;
  s.residual = s.activation_last = false;
  EXPECT_EQ(s.key(), "se-f32-n1-h32-w30-i3-o16-k3-s1-p1-q8-linear");
}

TEST(Subgraph, RefusesWhatNoProgramComputes) {
  for (const char* key :
       {"conv-f32-n1-h8-w8-i4-o4-k1-s1-p0-res-linear", "pool-f32-n1-h8-w8-i4-o4-k1-s1-p0-res-relu",
        "conv-f32-n1-h8-w8-i4-o4-k1-s1-p0-res-relu-res", "maxpool-f32-n1-h8-w8-i4-o4-k2-s2-p2-linear",
        "maxpool-f32-n1-h8-w8-i4-o4-k2-s2-p0-relu", "add-f32-n1-h8-w8-i4-o4-k1-s1-p0-relu-res",
        "add-f32-n1-h8-w8-i4-o5-k1-s1-p0-relu", "activate-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear",
        "concat-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear", "scale-f32-n1-h8-w8-i4-o4-k3-s1-p1-linear",
        "block-f32-n1-h8-w8-i4-o4-k3-s1-p1-m4-dw-relu", "block-f32-n1-h8-w8-i4-o6-k3-s1-p1-m5-expand-relu-dw-relu",
        "block-f32-n1-h8-w8-i4-o6-k3-s1-p1-m6-dw-relu-project-linear",
        "block-f32-n1-h8-w8-i4-o6-k3-s1-p1-m6-expand-relu-project-linear",
        "block-f32-n1-h8-w8-i4-o6-k3-s1-p3-m6-expand-relu-dw-relu-project-linear",
        "block-f32-n1-h8-w8-i4-o6-k3-s1-p1-m6-expand-relu-dw-relu-project-res-linear"})
    EXPECT_THROW(parse_subgraph(key), UserError) << key;
}

TEST(Subgraph, ShapesAndMacs) {
  Subgraph s = parse_subgraph("conv-f32-n2-h32-w30-i3-o16-k3-s2-p1-hswish");
  EXPECT_EQ(s.out_height(), 16);
  EXPECT_EQ(s.out_width(), 15);
  EXPECT_DOUBLE_EQ(s.macs(), 2.0 * 16 * 15 * 16 * 27);
  s = parse_subgraph("resize-f32-n1-h4-w5-i3-o3-k1-s2-p0-linear");
  EXPECT_EQ(s.out_height(), 8);
  EXPECT_EQ(s.out_width(), 10);
  s = parse_subgraph("maxpool-f32-n1-h112-w112-i64-o64-k3-s2-p1-linear");
  EXPECT_EQ(s.out_height(), 56);
  s = parse_subgraph("concat-f32-n2-h4-w5-i3-o10-k1-s1-p0-linear");
  EXPECT_EQ(s.second_input_elements(), 2 * 4 * 5 * 7);
  s = parse_subgraph("scale-f32-n2-h4-w5-i3-o3-k1-s1-p0-linear");
  EXPECT_EQ(s.second_input_elements(), 6);
}

TEST(Random, BelowCoversItsRangeAndStreamsDiffer) {
  Random random(derive_seed(1, "a")), other(derive_seed(1, "b"));
  EXPECT_NE(random(), other());
  std::set<uint64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(random.below(5));
  EXPECT_EQ(seen, (std::set<uint64_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace sonar
