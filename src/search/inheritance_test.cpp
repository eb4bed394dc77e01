#include "search/inheritance.h"

#include <gtest/gtest.h>

namespace sonar {
namespace {

TEST(WeightParents, ResolutionFirstThenDepth) {
  const std::vector<std::string> names = {
      "mobilenetv3-r32-w0.50-e3-k33333-d11211",  // 0: from 1
      "mobilenetv3-r24-w0.50-e3-k33333-d11211",  // 1: no lower resolution of it; from 2, one block fewer
      "mobilenetv3-r24-w0.50-e3-k33333-d11111",  // 2: from 3
      "mobilenetv3-r16-w0.50-e3-k33333-d11111",  // 3: nothing
      "mobilenetv3-r24-w0.50-e3-k33333-d11222",  // 4: 1 lacks two blocks, 2 three
      "mobilenetv3-r24-w1.00-e3-k33333-d11222",  // 5: another width
      "mobilenetv3-r24-w0.50-e3-k33333-d21111",  // 6: 2; 1 and 4 are deeper in a stage
      "other-r16-w0.50-e3-k33333-d11211",        // 7: another family
  };
  const std::vector<std::optional<size_t>> expected = {1, 2, 3, std::nullopt, 1, std::nullopt, 2, std::nullopt};
  EXPECT_EQ(weight_parents(names), expected);
}

}  // namespace
}  // namespace sonar
