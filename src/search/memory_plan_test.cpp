#include "search/memory_plan.h"

#include <gtest/gtest.h>

#include "model/random.h"
#include "search/test_uses.h"

namespace sonar {
namespace {

bool overlap(const ValuePlace& a, const ValuePlace& b) {
  return a.offset < b.offset + b.floats && b.offset < a.offset + a.floats;
}

TEST(MemoryPlan, AChainNeedsTheLargestPair) {
  const std::vector<SubgraphUse> chain = {pointwise_use(3, 16, 0, 1), pointwise_use(16, 96, 1, 2),
                                          pointwise_use(96, 24, 2, 3), pointwise_use(24, 144, 3, 4)};
  const MemoryPlan plan(chain);
  EXPECT_TRUE(plan.of(0).outside);
  EXPECT_GE(plan.of(0).offset, plan.floats_without_inputs());
  const long pixels = 256, page = 1024;
  EXPECT_GE(plan.floats_without_inputs(), pixels * (24 + 144));
  EXPECT_LE(plan.floats_without_inputs(), pixels * (24 + 144) + 4 * page);
}

TEST(MemoryPlan, WhatIsAliveTogetherLiesApart) {
  Random random(7);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<SubgraphUse> uses;
    std::vector<int> channels = {3};
    std::vector<size_t> born = {0}, last_read = {0};
    for (int i = 0; i < 20; ++i) {
      // Each reads one of the last three values and, now and then, adds an older one of the same size.
      const int input = int(channels.size()) - 1 - int(random.below(std::min<uint64_t>(3, channels.size())));
      const int out = 1 + int(random.below(200));
      SubgraphUse one = pointwise_use(channels[input], out, input, int(channels.size()));
      for (int older = 1; older < int(channels.size()); ++older)
        if (channels[older] == out || random.below(8) == 0) {
          one.residual = older;
          one.subgraph.residual = true;
          one.subgraph.out_channels = channels[older];
        }
      for (int value : {one.input, one.residual})
        if (value >= 0) last_read[value] = uses.size();
      channels.push_back(one.subgraph.out_channels);
      born.push_back(uses.size());
      last_read.push_back(uses.size());
      uses.push_back(one);
    }
    const MemoryPlan plan(uses);
    for (int a = 1; a < int(channels.size()); ++a) {
      EXPECT_EQ(plan.of(a).floats, 256L * channels[a]);
      EXPECT_LE(plan.of(a).offset + plan.of(a).floats, plan.floats_without_inputs());
      for (int b = 1; b < a; ++b)
        EXPECT_FALSE(born[a] <= last_read[b] && born[b] <= last_read[a] && overlap(plan.of(a), plan.of(b)));
    }
  }
}

}  // namespace
}  // namespace sonar
