#include "evaluate/recorded_cost.h"

#include <algorithm>

namespace sonar {

std::vector<double> recorded_costs(const std::vector<ProgramRow>& programs, const RunStore& store) {
  std::vector<double> costs;
  double sum = 0;
  for (const ProgramRow& row : programs) {
    double own = row.compile_s;
    if (const auto* measurement = std::get_if<Measurement>(&row.outcome))
      own += static_cast<double>(measurement->runs) * measurement->median_us * 1e-6;
    costs.push_back(std::max(own, 1e-6));
    sum += costs.back();
  }
  if (const auto wall = store.value("measure_wall_s"); wall && sum > 0)
    for (double& cost : costs) cost *= std::stod(*wall) / sum;
  return costs;
}

}  // namespace sonar
