#include "train/split.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "sonar/error.h"
#include "train/random_batch.h"

namespace sonar {
namespace {

/// Consecutive numbers: sizes[c] images of class c.
ClassGroups groups_of(const std::vector<int>& sizes) {
  ClassGroups groups;
  int next = 0;
  for (int size : sizes) {
    groups.emplace_back(size_t(size));
    std::iota(groups.back().begin(), groups.back().end(), next);
    next += size;
  }
  return groups;
}

std::map<int, int> images_of_class(const std::vector<int>& part, const ClassGroups& groups) {
  std::map<int, int> class_of, count;
  for (size_t c = 0; c < groups.size(); ++c) {
    for (int image : groups[c]) class_of[image] = int(c);
  }
  for (int image : part) ++count[class_of.at(image)];
  return count;
}

std::vector<std::string> names(size_t count) {
  std::vector<std::string> result;
  for (size_t i = 0; i < count; ++i) result.push_back("class" + std::to_string(i));
  return result;
}

std::string message_of(const ClassGroups& groups, const SplitOptions& options) {
  try {
    make_split(groups, {}, names(groups.size()), options, 1);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Split, PartsAreDisjointCompleteAndStratified) {
  const ClassGroups groups = groups_of({100, 50, 10});
  const Split split = make_split(groups, {}, names(3), {.val_fraction = 0.2, .test_fraction = 0.1}, 7);
  std::set<int> all;
  for (const auto* part : {&split.train, &split.val, &split.test}) all.insert(part->begin(), part->end());
  EXPECT_EQ(all.size(), 160u);
  EXPECT_EQ(split.train.size() + split.val.size() + split.test.size(), 160u);
  EXPECT_EQ(images_of_class(split.test, groups), (std::map<int, int>{{0, 10}, {1, 5}, {2, 1}}));
  EXPECT_EQ(images_of_class(split.val, groups), (std::map<int, int>{{0, 18}, {1, 9}, {2, 2}}));
}

TEST(Split, DependsOnTheSeedAndOnNothingElse) {
  const ClassGroups groups = groups_of({40, 40});
  const Split a = make_split(groups, {}, names(2), {}, 1), b = make_split(groups, {}, names(2), {}, 1);
  const Split c = make_split(groups, {}, names(2), {}, 2);
  EXPECT_EQ(a.train, b.train);
  EXPECT_EQ(a.val, b.val);
  EXPECT_EQ(a.test, b.test);
  EXPECT_NE(std::set<int>(a.val.begin(), a.val.end()), std::set<int>(c.val.begin(), c.val.end()));
}

TEST(Split, GivenTestImagesAreNeverTrainedOn) {
  const Split split = make_split({{0, 1, 2, 3}, {4, 5, 6, 7}}, {{8}, {9}}, names(2), {.val_fraction = 0.25}, 3);
  EXPECT_EQ(std::set<int>(split.test.begin(), split.test.end()), (std::set<int>{8, 9}));
  EXPECT_EQ(split.val.size(), 2u);
  EXPECT_EQ(split.train.size(), 6u);
}

TEST(Split, EveryBeginningOfAnOrderIsBalanced) {
  const ClassGroups groups = groups_of({300, 200, 100});
  const std::vector<int> order = stratified_order(groups, 5);
  for (size_t length = 1; length <= order.size(); ++length) {
    auto count = images_of_class({order.begin(), order.begin() + long(length)}, groups);
    for (size_t c = 0; c < groups.size(); ++c) {
      const double share = double(length) * double(groups[c].size()) / 600;
      EXPECT_LE(std::abs(count[int(c)] - share), 1.0) << "length " << length << " class " << c;
    }
  }
}

TEST(Split, LimitsAreBeginningsOfTheWholeParts) {
  const ClassGroups groups = groups_of({100, 100});
  const Split whole = make_split(groups, {}, names(2), {}, 1);
  const Split limited = make_split(groups, {}, names(2), {.limit_train = 20, .limit_val = 4, .limit_test = 6}, 1);
  EXPECT_EQ(limited.train, std::vector<int>(whole.train.begin(), whole.train.begin() + 20));
  EXPECT_EQ(limited.val, std::vector<int>(whole.val.begin(), whole.val.begin() + 4));
  EXPECT_EQ(limited.test, std::vector<int>(whole.test.begin(), whole.test.begin() + 6));
  EXPECT_EQ(images_of_class(limited.train, groups), (std::map<int, int>{{0, 10}, {1, 10}}));
}

TEST(Split, NamesTheClassWithTooFewImages) {
  EXPECT_EQ(message_of(groups_of({20, 1}), {.test_fraction = 0}),
            "class class1 has only 1 training image; at least 2 are needed to set one aside for validation");
  EXPECT_EQ(message_of(groups_of({20, 2}), {}),
            "class class1 has only 2 training images; at least 3 are needed to set one aside for validation and one "
            "for the test");
}

TEST(Split, RefusesFractionsAndLimitsThatLeaveNothing) {
  EXPECT_EQ(message_of(groups_of({20, 20}), {.val_fraction = 0}),
            "data.val_fraction = 0 must be above 0 and below 1: networks are judged by their validation accuracy");
  EXPECT_NE(message_of(groups_of({20, 20}), {.test_fraction = 1}).find("data.test_fraction = 1 must be"),
            std::string::npos);
  EXPECT_EQ(message_of(groups_of({20, 20}), {.limit_val = 1}),
            "data.limit_val = 1 leaves classes without an image: there are 2 classes; raise it or leave it out");
  EXPECT_NE(message_of(groups_of({4, 4}), {.val_fraction = 0.9, .test_fraction = 0}).find("none is left to train on"),
            std::string::npos);
}

TEST(BatchStream, EveryEpochIsAPermutationWithoutTheLastPartBatch) {
  std::vector<int> images(103);
  std::iota(images.begin(), images.end(), 1000);
  BatchStream stream(images, {.batch = 10, .crop_padding = 0, .flip = false}, 1, "network");
  ASSERT_EQ(stream.steps_per_epoch(), 10);
  std::vector<std::set<int>> epochs(2);
  for (long step = 0; step < 20; ++step) {
    for (const Placement& p : stream.at(step)) epochs[size_t(step / 10)].insert(p.image);
  }
  EXPECT_EQ(epochs[0].size(), 100u);
  EXPECT_EQ(epochs[1].size(), 100u);
  EXPECT_NE(epochs[0], epochs[1]);  // another three are left out, but for a chance of 1 in 176,851
}

TEST(BatchStream, IsAFunctionOfSeedNetworkAndStep) {
  std::vector<int> images(500);
  std::iota(images.begin(), images.end(), 0);
  BatchStream forward(images, {}, 1, "a"), jump(images, {}, 1, "a"), other(images, {}, 1, "b"),
      seeded(images, {}, 2, "a");
  for (long step = 0; step < 30; ++step) forward.at(step);
  EXPECT_EQ(forward.at(12), jump.at(12));
  EXPECT_NE(forward.at(12), other.at(12));
  EXPECT_NE(forward.at(12), seeded.at(12));
}

TEST(BatchStream, ShiftsCoverTheWholeRangeEvenly) {
  std::vector<int> images(64);
  std::iota(images.begin(), images.end(), 0);
  BatchStream stream(images, {.batch = 64, .crop_padding = 2, .flip = true}, 1, "a");
  std::map<int, int> shifts;
  int flips = 0;
  constexpr int kSteps = 100;
  for (long step = 0; step < kSteps; ++step) {
    for (const Placement& p : stream.at(step)) {
      ++shifts[p.shift_x];
      flips += p.flip;
    }
  }
  ASSERT_EQ(shifts.size(), 5u);
  const double expected = 64.0 * kSteps / 5;  // binomial: a deviation of 6 sigma does not happen
  for (auto [shift, count] : shifts) EXPECT_NEAR(count, expected, 6 * std::sqrt(expected * 0.8)) << shift;
  EXPECT_NEAR(flips, 32.0 * kSteps, 6 * std::sqrt(16.0 * kSteps));
}

TEST(BatchStream, FewerImagesThanABatchAreOneBatch) {
  const std::vector<int> images = {3, 4, 5};
  BatchStream stream(images, {.batch = 64}, 1, "a");
  EXPECT_EQ(stream.batch(), 3);
  EXPECT_EQ(stream.steps_per_epoch(), 1);
  EXPECT_EQ(stream.at(5).size(), 3u);
}

}  // namespace
}  // namespace sonar
