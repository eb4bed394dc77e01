#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "model/error.h"
#include "space/space.h"

namespace sonar {
namespace {

/// Names are numbers, so that samples can be looked at as such.
class Numbers : public Space {
 public:
  explicit Numbers(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  Architecture at(uint64_t i) const override { return {std::to_string(i)}; }
  void check(const Architecture&) const override {}
  Graph lower(const Architecture&, int) const override { return {}; }
  int resolution(const Architecture&) const override { return 1; }

 private:
  uint64_t size_;
};

std::vector<uint64_t> sample(uint64_t size, uint64_t count, uint64_t seed) {
  std::vector<uint64_t> result;
  for (const Architecture& a : sample_architectures(Numbers(size), count, seed)) result.push_back(std::stoull(a.name));
  return result;
}

TEST(SampleArchitectures, AllInOrder) {
  const std::vector<uint64_t> all{0, 1, 2, 3, 4};
  EXPECT_EQ(sample(5, 0, 1), all);
  EXPECT_EQ(sample(5, 5, 1), all);
  EXPECT_EQ(sample(5, 99, 1), all);
}

TEST(SampleArchitectures, SeededDistinctAndInOrderEvenInAHugeSpace) {
  const uint64_t size = uint64_t{1} << 60;
  const std::vector<uint64_t> drawn = sample(size, 5000, 7);
  ASSERT_EQ(drawn.size(), 5000u);
  for (size_t i = 1; i < drawn.size(); ++i) ASSERT_LT(drawn[i - 1], drawn[i]);
  EXPECT_LT(drawn.back(), size);
  EXPECT_EQ(drawn, sample(size, 5000, 7));
  EXPECT_NE(drawn, sample(size, 5000, 8));
}

TEST(SampleArchitectures, EverySubsetIsEquallyLikely) {
  std::map<std::vector<uint64_t>, int> subsets;
  constexpr int kDraws = 20000;
  for (int seed = 0; seed < kDraws; ++seed) ++subsets[sample(6, 3, seed)];
  ASSERT_EQ(subsets.size(), 20u);
  const double mean = kDraws / 20.0, deviation = std::sqrt(kDraws * 0.05 * 0.95);
  for (const auto& [subset, count] : subsets) EXPECT_NEAR(count, mean, 4.5 * deviation);
}

TEST(SampleArchitectures, RefusesToListAHugeSpace) {
  try {
    sample(uint64_t{1} << 40, 0, 1);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(),
                 "the space holds 1099511627776 architectures and 1099511627776 candidates are asked for; ask for at "
                 "most 10000000");
  }
}

}  // namespace
}  // namespace sonar
