// The paper's two algorithms: Pareto halving (Algorithm 1) and its latency-threshold variant (section 3.2); and their
// options, all off by default (docs/algorithm.md, "Options of the halving").
#include <algorithm>
#include <cmath>
#include <optional>

#include "model/error.h"
#include "policy/algorithms.h"
#include "policy/curve_extrapolation.h"
#include "policy/elimination.h"
#include "policy/geometric_levels.h"

namespace sonar {
namespace {

class Halving : public Algorithm {
 public:
  explicit Halving(const PolicyOptions& options)
      : extrapolate_(setting_number(options, "extrapolate", 0, 0, 20)),
        early_drop_(setting_number(options, "early_drop", 0, 0, 100)),
        images_(setting_number(options, "validation_images", 0, 0, 1e9)) {}

  int rounds(const SearchState& state) const override { return round_count(state.networks.size()); }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    return plan_equal_training(state, remaining, rounds(state) - state.round());
  }
  std::vector<Objectives> estimates(const SearchState& state, const std::vector<size_t>& networks) const override {
    std::vector<Objectives> result = Algorithm::estimates(state, networks);
    // What follows the last round is no training: there, what was observed counts.
    if (extrapolate_ > 0 && state.round_open && !last(state)) {
      const std::vector<double> accuracy = extrapolated_accuracies(state, networks, extrapolate_);
      for (size_t n = 0; n < networks.size(); ++n) result[n].accuracy = accuracy[n];
    }
    return result;
  }
  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    std::vector<Verdict> verdicts = survivors(state, members, objectives);
    if (early_drop_ > 0 && !last(state))
      drop_hopeless(objectives, names_of(state, members), latency_floors_us(state, members),
                    accuracy_variances(state, members, images_), early_drop_, verdicts);
    return verdicts;
  }

 protected:
  bool last(const SearchState& state) const { return state.round() + 1 >= rounds(state); }
  double images() const { return images_; }

 private:
  virtual std::vector<Verdict> survivors(const SearchState& state, const std::vector<size_t>& members,
                                         const std::vector<Objectives>& objectives) const = 0;
  double extrapolate_, early_drop_, images_;
};

class Pareto : public Halving {
 public:
  explicit Pareto(const PolicyOptions& options)
      : Halving(options),
        levels_(static_cast<int>(setting_number(options, "levels", 0, 0, 30))),
        growth_(setting_number(options, "growth", 2, 1.1, 100)),
        finals_(setting_number(options, "finals", 1, 0.1, 100)),
        confidence_(setting_number(options, "confidence", 0, 0, 100)) {
    if (levels_ == 0)
      for (const char* key : {"growth", "finals"})
        if (options.settings.count(key))
          throw UserError(std::string("pareto: ") + key + " is a setting of geometric levels; set levels as well");
    if (levels_ > 0 && confidence_ > 0)
      throw UserError("pareto: levels and confidence exclude each other: both say how many networks a round keeps");
  }

  size_t affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const override {
    const size_t minimum = Halving::affordable(networks, total, mean_step_cost, options);
    if (levels_ == 0 || minimum == 0) return minimum;
    return std::clamp<size_t>(levels(options).affordable(total, mean_step_cost), 1, networks);
  }
  int rounds(const SearchState& state) const override {
    return levels_ > 0 ? levels(state.options).rounds() : Halving::rounds(state);
  }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    if (levels_ == 0) return Halving::plan(state, remaining);
    const GeometricLevels levels = this->levels(state.options);
    const int round = std::min(state.round(), levels.rounds() - 1);
    return plan_to_level(state, state.alive(), levels.share(round, remaining.train),
                         remaining.tune / (levels.rounds() - round), levels.steps(round));
  }

 private:
  std::vector<Verdict> survivors(const SearchState& state, const std::vector<size_t>& members,
                                 const std::vector<Objectives>& objectives) const override {
    const std::vector<std::string> names = names_of(state, members);
    if (last(state)) return pareto_survivors(objectives, names, state.options.survivors);
    const auto round = static_cast<size_t>(state.round());
    const double share = state.rounds[round].train_share;
    if (levels_ > 0) {
      const GeometricLevels levels = this->levels(state.options);
      const double left = levels.remaining_before(state.round(), share) - round_cost(state, round);
      return best_paid(state, members, objectives, levels.steps(state.round() + 1),
                       levels.share(state.round() + 1, left));
    }
    if (confidence_ > 0) {
      const int rounds_left = rounds(state) - state.round();
      const double next = (share * rounds_left - round_cost(state, round)) / (rounds_left - 1);
      return confident_survivors(objectives, names, state.options.survivors,
                                 accuracy_variances(state, members, images()), confidence_,
                                 doubled_by(state, members, next));
    }
    return pareto_survivors(objectives, names, state.options.survivors);
  }

  GeometricLevels levels(const PolicyOptions& options) const {
    return GeometricLevels(options, growth_, levels_, finals_);
  }
  /// How many networks a share gives, on the average, as much training again as they have had.
  static size_t doubled_by(const SearchState& state, const std::vector<size_t>& members, double share) {
    double cost = 0;
    for (size_t i : members) {
      const long had = state.networks[i].steps;
      cost += state.step_cost(i) * static_cast<double>(std::min(had, std::max(0L, state.options.full_steps - had)));
    }
    cost /= static_cast<double>(std::max<size_t>(1, members.size()));
    if (!(cost > 0)) return members.size();
    return static_cast<size_t>(std::clamp(share / cost, 1.0, static_cast<double>(std::max<size_t>(1, members.size()))));
  }

  int levels_;
  double growth_, finals_, confidence_;
};

class Threshold : public Halving {
 public:
  using Halving::Halving;
  std::vector<bool> answers(const std::vector<Objectives>& objectives, const PolicyOptions& options) const override {
    std::vector<bool> result(objectives.size());
    const int best = most_accurate_within(objectives, options.threshold_us);
    if (best >= 0) result[static_cast<size_t>(best)] = true;
    return result;
  }

 private:
  std::vector<Verdict> survivors(const SearchState& state, const std::vector<size_t>& members,
                                 const std::vector<Objectives>& objectives) const override {
    return threshold_survivors(objectives, names_of(state, members), state.options.threshold_us,
                               state.options.survivors);
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_pareto(const PolicyOptions& options) { return std::make_unique<Pareto>(options); }
std::unique_ptr<Algorithm> make_threshold(const PolicyOptions& options) { return std::make_unique<Threshold>(options); }

}  // namespace sonar
