#include "tune/cost_model.h"

#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/error.h"

namespace sonar {
namespace {

constexpr int kTrees = 40;

void check(int result) {
  if (result != 0) throw InternalError(fmt::format("the cost model: {}", XGBGetLastError()));
}

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

/// XGBoost's description of rows in memory (NumPy's array interface).
std::string array_interface(const FeatureRows& rows) {
  return fmt::format(R"({{"data": [{}, true], "shape": [{}, {}], "typestr": "<f4", "version": 3}})",
                     reinterpret_cast<uintptr_t>(rows.values.data()), rows.rows(), rows.columns);
}

}  // namespace

struct CostModel::State {
  DMatrixHandle matrix = nullptr;
  BoosterHandle booster = nullptr;
  size_t columns = 0;
  ~State() {
    if (booster) XGBoosterFree(booster);
    if (matrix) XGDMatrixFree(matrix);
  }
};

CostModel::CostModel(const FeatureRows& rows, const std::vector<float>& scores) : state_(std::make_unique<State>()) {
  if (rows.rows() == 0 || rows.rows() * rows.columns != rows.values.size() || rows.rows() != scores.size() ||
      !finite(rows.values) || !finite(scores))
    throw InternalError(fmt::format("CostModel: {} values in rows of {} and {} scores, all of which must be finite",
                                    rows.values.size(), rows.columns, scores.size()));
  state_->columns = rows.columns;
  check(XGDMatrixCreateFromMat_omp(rows.values.data(), rows.rows(), rows.columns, std::nanf(""), &state_->matrix, 1));
  check(XGDMatrixSetFloatInfo(state_->matrix, "label", scores.data(), scores.size()));
  check(XGBoosterCreate(&state_->matrix, 1, &state_->booster));
  const std::pair<const char*, const char*> parameters[] = {{"nthread", "1"},
                                                            {"seed", "1"},
                                                            {"verbosity", "0"},
                                                            {"tree_method", "hist"},
                                                            {"max_bin", "32"},
                                                            {"max_depth", "5"},
                                                            {"eta", "0.2"},
                                                            {"min_child_weight", "2"},
                                                            {"base_score", "0"},
                                                            {"lambda", "1"},
                                                            {"objective", "reg:squarederror"}};
  for (auto [name, value] : parameters) check(XGBoosterSetParam(state_->booster, name, value));
  for (int tree = 0; tree < kTrees; ++tree) check(XGBoosterUpdateOneIter(state_->booster, tree, state_->matrix));
  XGDMatrixFree(std::exchange(state_->matrix, nullptr));
}

CostModel::~CostModel() = default;
CostModel::CostModel(CostModel&&) noexcept = default;
CostModel& CostModel::operator=(CostModel&&) noexcept = default;

std::vector<float> CostModel::predict(const FeatureRows& rows) const {
  if (rows.values.empty()) return {};
  if (rows.columns != state_->columns)
    throw InternalError(fmt::format("CostModel: rows of {} for a model of {}", rows.columns, state_->columns));
  constexpr const char* kConfig =
      R"({"type": 0, "iteration_begin": 0, "iteration_end": 0, "missing": NaN, "strict_shape": false, "cache_id": 0})";
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* result = nullptr;
  check(XGBoosterPredictFromDense(state_->booster, array_interface(rows).c_str(), kConfig, nullptr, &shape, &dimensions,
                                  &result));
  return {result, result + rows.rows()};
}

}  // namespace sonar
