#include "search/call_context.h"

#include <gtest/gtest.h>

#include "device/device.h"
#include "search/test_uses.h"

namespace sonar {
namespace {

constexpr double kPixels = 256 * sizeof(float);

/// Within the rounding, and what lies between two values.
void expect_about(long got, double expected) {
  EXPECT_GE(static_cast<double>(got), 0.95 * expected);
  EXPECT_LE(static_cast<double>(got), 1.05 * (expected + 4096));
}

const SinceTouched kNow{};

/// A target of 16 lanes and 2 units: 96,000 multiply-adds a microsecond, each thread.
std::map<SubgraphKey, CallContext> contexts_of(const std::vector<const std::vector<SubgraphUse>*>& networks,
                                               int threads = 1) {
  Target target;
  target.vector_floats = 16;
  target.native_units = 2;
  return call_contexts(networks, target, threads);
}

void expect_all(const SinceTouched& got, long expected) {
  for (long bytes : got) EXPECT_EQ(bytes, expected);
}

TEST(CallContext, OfAChain) {
  // 0 -> 1 -> 2 -> 3
  const std::vector<SubgraphUse> chain = {pointwise_use(8, 64, 0, 1), pointwise_use(64, 128, 1, 2),
                                          pointwise_use(128, 16, 2, 3)};
  auto contexts = contexts_of({&chain});
  const CallContext first = contexts.at(chain[0].subgraph.key()), second = contexts.at(chain[1].subgraph.key()),
                    third = contexts.at(chain[2].subgraph.key());
  const double w1 = chain[0].subgraph.weight_bytes(), w2 = chain[1].subgraph.weight_bytes(),
               w3 = chain[2].subgraph.weight_bytes();
  // Between two calls of the second: the others' weights, the network's input. Its output lies where the second's input
  // was.
  expect_about(second.bytes, w1 + w3 + kPixels * 8);
  EXPECT_EQ(second.input, kNow);  // just written
  // The network's input was read a whole pass ago.
  expect_about(first.input[3], w2 + w3 + kPixels * 128);
  expect_all(first.input, first.bytes);
  EXPECT_EQ(third.input, kNow);
  for (size_t part = 1; part < third.output.size(); ++part) EXPECT_EQ(third.output[part], 0);
}

TEST(CallContext, ALargeValueLiesWhereSeveralHaveBeen) {
  // 0 -> 1 (large) -> 2 (small) -> 3 (small) -> 4: of the large value's memory the start was used lately, the rest not.
  const std::vector<SubgraphUse> chain = {pointwise_use(8, 256, 0, 1), pointwise_use(256, 32, 1, 2),
                                          pointwise_use(32, 16, 2, 3), pointwise_use(16, 4, 3, 4)};
  const CallContext first = contexts_of({&chain}).at(chain[0].subgraph.key());
  EXPECT_LT(first.output[0], first.output[7]);
  // The second use read all of it.
  expect_about(first.output[7], chain[2].subgraph.weight_bytes() + chain[3].subgraph.weight_bytes() + kPixels * 32);
}

TEST(CallContext, IsTheMedianOverNetworksAndBounded) {
  std::vector<std::vector<SubgraphUse>> networks;
  for (int width : {16, 1024, 8192}) networks.push_back({pointwise_use(8, 16, 0, 1), pointwise_use(16, width, 1, 2)});
  const SubgraphKey shared = networks[0][0].subgraph.key();
  const long all = contexts_of({&networks[0], &networks[1], &networks[2]}).at(shared).bytes;
  EXPECT_EQ(all, contexts_of({&networks[1]}).at(shared).bytes);
  EXPECT_GT(all, contexts_of({&networks[0]}).at(shared).bytes);
  EXPECT_LT(all, contexts_of({&networks[2]}).at(shared).bytes);
  const std::vector<SubgraphUse> huge = {pointwise_use(8, 16, 0, 1), pointwise_use(16, 1 << 19, 1, 2)};
  EXPECT_EQ(contexts_of({&huge}).at(shared).bytes, kMostContextBytes);
}

TEST(CallContext, WhatPassesIsTheOthersArithmetic) {
  const std::vector<SubgraphUse> chain = {pointwise_use(8, 1024, 0, 1), pointwise_use(1024, 512, 1, 2)};
  const SubgraphKey first = chain[0].subgraph.key(), second = chain[1].subgraph.key();
  EXPECT_NEAR(contexts_of({&chain}).at(first).us, 256.0 * 1024 * 512 / 96e3, 0.05 * 256 * 1024 * 512 / 96e3);
  EXPECT_NEAR(contexts_of({&chain}).at(second).us, 256.0 * 8 * 1024 / 96e3, 0.05 * 256 * 8 * 1024 / 96e3);
  EXPECT_LT(contexts_of({&chain}, 2).at(first).us, 0.6 * contexts_of({&chain}).at(first).us);
  const std::vector<SubgraphUse> large = {pointwise_use(8, 8192, 0, 1), pointwise_use(8192, 8192, 1, 2)};
  EXPECT_EQ(contexts_of({&large}).at(large[0].subgraph.key()).us, kMostContextUs);
}

TEST(CallContext, WeightsCountAsTheyAreStored) {
  std::vector<SubgraphUse> chain = {pointwise_use(8, 64, 0, 1), pointwise_use(64, 64, 1, 2)};
  Subgraph& second = chain[1].subgraph;
  second.kernel = 3;
  second.padding = 1;
  // Minimal filtering is its default: 16 or 36 values for 9.
  EXPECT_GT(contexts_of({&chain}).at(chain[0].subgraph.key()).bytes, 16.0 / 9 * 0.95 * second.weight_bytes());
}

TEST(CallContext, ASubgraphThatIsTheWholeNetworkHasNone) {
  const std::vector<SubgraphUse> one = {pointwise_use(8, 16, 0, 1)};
  EXPECT_EQ(contexts_of({&one}).at(one[0].subgraph.key()), (CallContext{0, 0, kNow, kNow, kNow}));
}

}  // namespace
}  // namespace sonar
