#include "model/subgraph.h"

#include <gtest/gtest.h>

#include <set>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

TEST(Subgraph, KeyRoundTripsOverRandomSubgraphs) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    Subgraph s;
    s.kind = static_cast<SubgraphKind>(1 + random.below(5));
    s.batch = 1 + random.below(32);
    s.height = 1 + random.below(224);
    s.width = 1 + random.below(224);
    s.in_channels = 1 + random.below(960);
    s.out_channels = 1 + random.below(960);
    s.kernel = 1 + random.below(7);
    s.stride = 1 + random.below(2);
    s.padding = random.below(4);
    s.squeeze = s.kind == SubgraphKind::squeeze_excite ? 1 + random.below(240) : 0;
    s.activation = static_cast<Activation>(random.below(4));
    s.residual = random.below(2);
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

TEST(Subgraph, ShapesAndMacs) {
  Subgraph s = parse_subgraph("conv-f32-n2-h32-w30-i3-o16-k3-s2-p1-hswish");
  EXPECT_EQ(s.out_height(), 16);
  EXPECT_EQ(s.out_width(), 15);
  EXPECT_DOUBLE_EQ(s.macs(), 2.0 * 16 * 15 * 16 * 27);
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
