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

void expect_all(const SinceTouched& got, long expected) {
  for (long bytes : got) EXPECT_EQ(bytes, expected);
}

TEST(CallContext, OfAChain) {
  // 0 -> 1 -> 2 -> 3
  const std::vector<SubgraphUse> chain = {pointwise_use(8, 64, 0, 1), pointwise_use(64, 128, 1, 2),
                                          pointwise_use(128, 16, 2, 3)};
  auto contexts = call_contexts({&chain});
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
  const CallContext first = call_contexts({&chain}).at(chain[0].subgraph.key());
  EXPECT_LT(first.output[0], first.output[7]);
  // The second use read all of it.
  expect_about(first.output[7], chain[2].subgraph.weight_bytes() + chain[3].subgraph.weight_bytes() + kPixels * 32);
}

TEST(CallContext, IsTheMedianOverNetworksAndBounded) {
  std::vector<std::vector<SubgraphUse>> networks;
  for (int width : {16, 1024, 8192}) networks.push_back({pointwise_use(8, 16, 0, 1), pointwise_use(16, width, 1, 2)});
  const SubgraphKey shared = networks[0][0].subgraph.key();
  const long all = call_contexts({&networks[0], &networks[1], &networks[2]}).at(shared).bytes;
  EXPECT_EQ(all, call_contexts({&networks[1]}).at(shared).bytes);
  EXPECT_GT(all, call_contexts({&networks[0]}).at(shared).bytes);
  EXPECT_LT(all, call_contexts({&networks[2]}).at(shared).bytes);
  const std::vector<SubgraphUse> huge = {pointwise_use(8, 16, 0, 1), pointwise_use(16, 1 << 19, 1, 2)};
  EXPECT_EQ(call_contexts({&huge}).at(shared).bytes, kMostContextBytes);
}

TEST(CallContext, ASubgraphThatIsTheWholeNetworkHasNone) {
  const std::vector<SubgraphUse> one = {pointwise_use(8, 16, 0, 1)};
  EXPECT_EQ(call_contexts({&one}).at(one[0].subgraph.key()), (CallContext{0, kNow, kNow, kNow}));
}

}  // namespace
}  // namespace sonar
