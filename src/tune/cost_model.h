// A learned cost model: gradient-boosted trees that predict how fast a program is from its features. XGBoost, only
// here.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace sonar {

/// Rows of equal length, one after another.
struct FeatureRows {
  size_t columns = 0;
  std::vector<float> values;
  size_t rows() const { return columns == 0 ? 0 : values.size() / columns; }
};

/// Fitted once, then constant. The same rows give the same model to the bit: one thread, no sampling.
class CostModel {
 public:
  /// `scores`: one finite number per row, higher is faster. Cost: about 10 us a row. Throws InternalError when the
  /// lengths disagree or a value is not finite.
  CostModel(const FeatureRows& rows, const std::vector<float>& scores);
  ~CostModel();
  CostModel(CostModel&&) noexcept;
  CostModel& operator=(CostModel&&) noexcept;

  /// One predicted score per row. Cost: about 2 us a row.
  std::vector<float> predict(const FeatureRows& rows) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sonar
