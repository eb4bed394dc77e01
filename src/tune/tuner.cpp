#include "tune/tuner.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "model/error.h"

namespace sonar {

Tuner::Tuner(std::shared_ptr<const ProgramSpace> space)
    : space_(std::move(space)), default_(space_->default_program()) {}

void Tuner::tell(const Knobs& knobs, const Outcome& outcome) {
  if (knobs.size() != space_->knobs().size())
    throw InternalError(fmt::format("Tuner: a program of {} knobs told for {}, which has {}", knobs.size(),
                                    space_->subgraph().key(), space_->knobs().size()));
  const auto* measurement = std::get_if<Measurement>(&outcome);
  if (measurement && !(measurement->median_us > 0 && std::isfinite(measurement->median_us)))
    throw InternalError(
        fmt::format("Tuner: a median of {} us told for {}", measurement->median_us, space_->subgraph().key()));
  learn(knobs, outcome);
  if (const auto old = latencies_.find(knobs); old != latencies_.end()) {
    ranked_.erase({old->second, knobs});
    latencies_.erase(old);
  }
  if (!measurement) return;
  latencies_.emplace(knobs, measurement->median_us);
  ranked_.emplace(measurement->median_us, knobs);
}

double Tuner::best_latency_us() const {
  return ranked_.empty() ? std::numeric_limits<double>::infinity() : ranked_.begin()->first;
}

const Knobs& Tuner::best() const { return ranked_.empty() ? default_ : ranked_.begin()->second; }

std::vector<Knobs> Tuner::contenders(size_t n) const {
  std::vector<Knobs> best;
  for (auto program = ranked_.begin(); program != ranked_.end() && best.size() < n; ++program)
    best.push_back(program->second);
  return best;
}

}  // namespace sonar
