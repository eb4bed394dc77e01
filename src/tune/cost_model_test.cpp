#include "tune/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

FeatureRows random_rows(size_t rows, size_t columns, uint64_t seed) {
  Random random(seed);
  FeatureRows result{columns, {}};
  for (size_t i = 0; i < rows * columns; ++i) result.values.push_back(static_cast<float>(random.uniform()));
  return result;
}

std::vector<float> scores_of(const FeatureRows& rows) {
  std::vector<float> scores;
  for (size_t row = 0; row < rows.rows(); ++row) {
    const float* x = &rows.values[row * rows.columns];
    scores.push_back(2 * x[0] - x[1] * x[2] - (x[3] > 0.5f ? 1.0f : 0.0f));
  }
  return scores;
}

TEST(CostModel, LearnsAFunctionOfTheFeatures) {
  const FeatureRows rows = random_rows(1500, 6, 1), unseen = random_rows(500, 6, 2);
  const CostModel model(rows, scores_of(rows));
  const std::vector<float> predicted = model.predict(unseen), truth = scores_of(unseen);
  ASSERT_EQ(predicted.size(), truth.size());
  double mean = 0, error = 0, variance = 0;
  for (float value : truth) mean += value / static_cast<double>(truth.size());
  for (size_t i = 0; i < truth.size(); ++i) {
    error += std::pow(predicted[i] - truth[i], 2);
    variance += std::pow(truth[i] - mean, 2);
  }
  EXPECT_LT(error, 0.05 * variance);
}

TEST(CostModel, TheSameRowsGiveTheSameModel) {
  const FeatureRows rows = random_rows(300, 10, 3), unseen = random_rows(100, 10, 4);
  CostModel first(rows, scores_of(rows));
  const CostModel second(rows, scores_of(rows));
  EXPECT_EQ(first.predict(unseen), second.predict(unseen));
  EXPECT_EQ(first.predict(unseen), first.predict(unseen));
  // A row's score does not depend on the rows beside it.
  const FeatureRows one{10, {unseen.values.begin(), unseen.values.begin() + 10}};
  EXPECT_EQ(first.predict(one).front(), first.predict(unseen).front());
  const CostModel moved = std::move(first);
  EXPECT_EQ(moved.predict(unseen), second.predict(unseen));
  EXPECT_TRUE(moved.predict({10, {}}).empty());
}

TEST(CostModel, RefusesNonsense) {
  const FeatureRows rows = random_rows(30, 4, 5);
  std::vector<float> scores = scores_of(rows);
  EXPECT_THROW(CostModel({4, {}}, {}), InternalError);
  EXPECT_THROW(CostModel(rows, {1, 2}), InternalError);
  EXPECT_THROW(CostModel(rows, scores).predict({3, {1, 2, 3}}), InternalError);
  scores[7] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(CostModel(rows, scores), InternalError);
  FeatureRows hole = rows;
  hole.values[5] = std::nanf("");
  EXPECT_THROW(CostModel(hole, scores_of(rows)), InternalError);
}

}  // namespace
}  // namespace sonar
