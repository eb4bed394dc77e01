#include "search/call_context.h"

#include <gtest/gtest.h>

#include "device/device.h"

namespace sonar {
namespace {

/// A 1x1 convolution of 16x16 pixels: `in` to `out` channels.
SubgraphUse use(int in, int out, int input, int output) {
  SubgraphUse result;
  result.subgraph.kind = SubgraphKind::conv;
  result.subgraph.height = result.subgraph.width = 16;
  result.subgraph.in_channels = in;
  result.subgraph.out_channels = out;
  result.input = input;
  result.output = output;
  return result;
}

constexpr double kPixels = 256 * sizeof(float);

/// Within the rounding to powers of the square root of two.
void expect_about(long got, double expected) {
  EXPECT_GE(static_cast<double>(got), 0.83 * expected);
  EXPECT_LE(static_cast<double>(got), 1.20 * expected);
}

TEST(CallContext, OfAChain) {
  // 0 -> 1 -> 2 -> 3
  const std::vector<SubgraphUse> chain = {use(8, 64, 0, 1), use(64, 128, 1, 2), use(128, 16, 2, 3)};
  auto contexts = call_contexts({&chain});
  const CallContext first = contexts.at(chain[0].subgraph.key()), second = contexts.at(chain[1].subgraph.key()),
                    third = contexts.at(chain[2].subgraph.key());
  const double w1 = chain[0].subgraph.weight_bytes(), w2 = chain[1].subgraph.weight_bytes(),
               w3 = chain[2].subgraph.weight_bytes();
  // Between two calls of the second: the others' weights, the network's input and output.
  expect_about(second.bytes, w1 + w3 + kPixels * (8 + 16));
  EXPECT_EQ(second.input, 0);  // just written
  // The network's input was read a whole pass ago; its second value is the first one's output.
  expect_about(first.input, w2 + w3 + kPixels * (128 + 16));
  EXPECT_EQ(first.input, first.bytes);
  EXPECT_EQ(third.input, 0);
  EXPECT_EQ(third.output, third.bytes);  // written a whole pass ago, for the result has a buffer of its own
}

TEST(CallContext, IsTheMedianOverNetworksAndBounded) {
  std::vector<std::vector<SubgraphUse>> networks;
  for (int width : {16, 1024, 8192}) networks.push_back({use(8, 16, 0, 1), use(16, width, 1, 2)});
  const SubgraphKey shared = networks[0][0].subgraph.key();
  const long all = call_contexts({&networks[0], &networks[1], &networks[2]}).at(shared).bytes;
  EXPECT_EQ(all, call_contexts({&networks[1]}).at(shared).bytes);
  EXPECT_GT(all, call_contexts({&networks[0]}).at(shared).bytes);
  EXPECT_LT(all, call_contexts({&networks[2]}).at(shared).bytes);
  const std::vector<SubgraphUse> huge = {use(8, 16, 0, 1), use(16, 1 << 19, 1, 2)};
  EXPECT_EQ(call_contexts({&huge}).at(shared).bytes, kMostContextBytes);
}

TEST(CallContext, ASubgraphThatIsTheWholeNetworkHasNone) {
  const std::vector<SubgraphUse> one = {use(8, 16, 0, 1)};
  EXPECT_EQ(call_contexts({&one}).at(one[0].subgraph.key()), (CallContext{0, 0, 0, 0}));
}

}  // namespace
}  // namespace sonar
