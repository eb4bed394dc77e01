#include "search/call_context.h"

#include <algorithm>
#include <bitset>
#include <cmath>

#include "device/device.h"
#include "search/memory_plan.h"

namespace sonar {
namespace {

constexpr double kSmallest = 4096;     // bytes; less makes no difference
constexpr double kSmallestUs = 1;      // likewise
constexpr double kCyclesPerUs = 3000;  // of a core; only the order of magnitude matters
constexpr long kPieces = 512;          // of an arena; what is touched is told by the piece
using Pieces = std::bitset<kPieces>;

/// As the default program has them: those of minimal filtering are larger than they are given.
double stored_weight_bytes(const Subgraph& subgraph, const Target& target) {
  if (subgraph.kind != SubgraphKind::conv || subgraph.kernel != 3) return subgraph.weight_bytes();
  const std::unique_ptr<ProgramSpace> space = make_program_space(subgraph, target);
  size_t floats = 0;
  for (const Argument& argument : space->arguments(space->default_program()))
    if (argument.role == Argument::Role::weight || argument.role == Argument::Role::bias)
      floats += value_count(argument.extents);
  return double(floats * sizeof(float));
}

/// What the uses of a network touch: their own weights, of so many bytes each, and pieces of the arena.
class Touched {
 public:
  Touched(const std::vector<SubgraphUse>& uses, const std::vector<double>& weights)
      : uses_(uses), weights_(weights), plan_(uses), pieces_(uses.size()) {
    for (size_t i = 0; i < uses.size(); ++i)
      for (int value : {uses[i].input, uses[i].residual, uses[i].output})
        if (value >= 0) pieces_[i] |= pieces(plan_.of(value));
  }

  /// Of other memory, between two calls of the i-th.
  double between_calls(size_t i) const {
    Pieces others;
    double bytes = 0;
    for (size_t k = 0; k < uses_.size(); ++k) {
      if (k == i) continue;
      others |= pieces_[k];
      bytes += weights_[k];
    }
    return bytes + bytes_of(others & ~pieces_[i]);
  }

  /// Of other memory, between the last touch of each eighth of a value, in this pass over the network or the one
  /// before, and the i-th call.
  std::array<double, 8> since(size_t i, int value) const {
    const ValuePlace& place = plan_.of(value);
    std::array<double, 8> result{};
    std::array<bool, 8> found{};
    Pieces others;
    double weights = 0;
    for (size_t back = 1;; ++back) {
      const size_t k = (i + uses_.size() - back % uses_.size()) % uses_.size();
      const double bytes = weights + bytes_of(others & ~pieces_[i]);
      bool all = true;
      for (size_t part = 0; part < found.size(); ++part) {
        if (found[part]) continue;
        found[part] = k == i || pieces_[k][piece(middle_of(place, part))];
        if (found[part]) result[part] = bytes;
        all = all && found[part];
      }
      if (all) return result;
      others |= pieces_[k];
      weights += weights_[k];
    }
  }

 private:
  size_t piece(long offset) const { return static_cast<size_t>(offset * kPieces / std::max(plan_.floats(), 1L)); }

  static long middle_of(const ValuePlace& place, size_t eighth) {
    return place.offset + place.floats * static_cast<long>(2 * eighth + 1) / 16;
  }

  /// Those whose middle the value covers, and those in which the middles of its eighths lie.
  Pieces pieces(const ValuePlace& place) const {
    const double per_piece = double(plan_.floats()) / kPieces;
    Pieces result;
    for (size_t part = 0; part < 8; ++part) result.set(piece(middle_of(place, part)));
    for (size_t p = piece(place.offset); p < kPieces; ++p) {
      const double middle = (double(p) + 0.5) * per_piece;
      if (middle >= double(place.offset + place.floats)) break;
      if (middle >= double(place.offset)) result.set(p);
    }
    return result;
  }

  double bytes_of(const Pieces& pieces) const {
    return double(pieces.count()) * double(plan_.floats()) / kPieces * sizeof(float);
  }

  const std::vector<SubgraphUse>& uses_;
  const std::vector<double>& weights_;
  MemoryPlan plan_;
  std::vector<Pieces> pieces_;
};

/// 0 if that is less than `smallest`, which must be positive.
double rounded_median(std::vector<double> values, double smallest) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double median = values[(values.size() - 1) / 2];
  return median < smallest ? 0 : std::exp2(std::round(8 * std::log2(median)) / 8);
}

long rounded_median_bytes(std::vector<double> values) {
  return std::min(kMostContextBytes, static_cast<long>(rounded_median(std::move(values), kSmallest)) / 64 * 64);
}

using Samples = std::array<std::vector<double>, 8>;

void add(Samples& samples, const std::array<double, 8>& values) {
  for (size_t part = 0; part < samples.size(); ++part) samples[part].push_back(values[part]);
}

SinceTouched rounded_medians(const Samples& samples) {
  SinceTouched result;
  for (size_t part = 0; part < samples.size(); ++part) result[part] = rounded_median_bytes(samples[part]);
  return result;
}

}  // namespace

std::map<SubgraphKey, CallContext> call_contexts(const std::vector<const std::vector<SubgraphUse>*>& networks,
                                                 const Target& target, int threads) {
  const double macs_per_us = kCyclesPerUs * target.native_units * target.vector_floats * threads;
  struct Places {
    std::vector<double> bytes, us;
    Samples input, residual, output;
  };
  std::map<SubgraphKey, Places> places;
  std::map<SubgraphKey, double> weight_bytes;
  for (const std::vector<SubgraphUse>* uses : networks) {
    double macs = 0;
    std::vector<double> weights;
    for (const SubgraphUse& use : *uses) {
      macs += use.subgraph.macs();
      const auto [bytes, added] = weight_bytes.try_emplace(use.subgraph.key());
      if (added) bytes->second = stored_weight_bytes(use.subgraph, target);
      weights.push_back(bytes->second);
    }
    const Touched touched(*uses, weights);
    for (size_t i = 0; i < uses->size(); ++i) {
      const SubgraphUse& use = (*uses)[i];
      Places& of = places[use.subgraph.key()];
      of.bytes.push_back(touched.between_calls(i));
      of.us.push_back((macs - use.subgraph.macs()) / macs_per_us);
      add(of.input, touched.since(i, use.input));
      if (use.residual >= 0) add(of.residual, touched.since(i, use.residual));
      add(of.output, touched.since(i, use.output));
    }
  }
  std::map<SubgraphKey, CallContext> result;
  for (const auto& [key, of] : places)
    result[key] = {rounded_median_bytes(of.bytes), std::min(kMostContextUs, rounded_median(of.us, kSmallestUs)),
                   rounded_medians(of.input), rounded_medians(of.residual), rounded_medians(of.output)};
  return result;
}

}  // namespace sonar
