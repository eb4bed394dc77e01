// "hyperband": successive halving by levels of training, several times over, each time (bracket) with other networks
// and from another level on (Li et al., Hyperband, JMLR 2018). For spaces that are larger than what the budget can look
// at: no starting level is right for all, and a bracket that begins too low for its verdicts to mean much costs its
// part only.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/random.h"
#include "policy/algorithms.h"
#include "policy/geometric_levels.h"

namespace sonar {
namespace {

class Hyperband : public Algorithm {
 public:
  explicit Hyperband(const PolicyOptions& options)
      : growth_(setting_number(options, "growth", 3, 1.1, 100)),
        finals_(setting_number(options, "finals", 1, 0.1, 100)),
        levels_(static_cast<int>(setting_number(options, "levels", 30, 1, 30))),
        brackets_(static_cast<int>(setting_number(options, "brackets", 2, 1, 30))) {}

  /// As many as the brackets draw among them.
  size_t affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const override {
    if (total < mean_step_cost * static_cast<double>(options.minimum_slice)) return 0;
    size_t sum = 0;
    for (int b = 0; b < brackets(options); ++b)
      sum += std::max<size_t>(1, levels(options, b).affordable(total / brackets(options), mean_step_cost));
    return std::min(networks, sum);
  }

  int rounds(const SearchState& state) const override {
    int sum = 0;
    for (int b = 0; b < brackets(state.options); ++b) sum += levels(state.options, b).rounds();
    return sum;
  }

  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    const Place place = place_of(state, state.round());
    const GeometricLevels levels = this->levels(state.options, place.bracket);
    const int later = brackets(state.options) - place.bracket - 1;
    const double tune_share = remaining.tune / std::max(1, rounds(state) - state.round());
    double left = remaining.train / (later + 1);  // for this bracket
    if (place.round > 0) {                        // the later brackets keep what they had when this one began
      const RoundPlan& began = state.rounds[static_cast<size_t>(state.round() - place.round)];
      left = std::max(0.0, remaining.train - later * levels.remaining_before(0, began.train_share));
    }
    std::vector<size_t> members;
    if (state.round_open) {
      members = state.rounds.back().members;
      std::erase_if(members, [&](size_t i) { return !state.networks[i].failure.empty(); });
    } else if (place.round == 0) {
      members = drawn(state);
      members.resize(std::max<size_t>(1, count_paid(state, members, levels.steps(0), levels.share(0, left))));
      std::sort(members.begin(), members.end());
    } else {
      members =
          advancing(state, state.rounds.back().members, levels.steps(place.round), levels.share(place.round, left));
    }
    return plan_to_level(state, std::move(members), levels.share(place.round, left), tune_share,
                         levels.steps(place.round));
  }

  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    const auto round = static_cast<size_t>(state.round());
    const Place place = place_of(state, state.round());
    const GeometricLevels levels = this->levels(state.options, place.bracket);
    if (place.round + 1 == levels.rounds())
      return keep_all(members.size(), fmt::format("finalist of bracket {}", place.bracket + 1));
    const double left =
        levels.remaining_before(place.round, state.rounds[round].train_share) - round_cost(state, round);
    std::vector<Verdict> verdicts =
        best_paid(state, members, objectives, levels.steps(place.round + 1), levels.share(place.round + 1, left));
    // Out of its bracket is not out of the search: it may be on the front over all brackets, or be drawn again.
    for (Verdict& verdict : verdicts) {
      verdict.reason =
          fmt::format("{} bracket {}: {}", verdict.kept ? "goes on in" : "leaves", place.bracket + 1, verdict.reason);
      verdict.kept = true;
      verdict.dominated_by = -1;
    }
    return verdicts;
  }

  /// The front over all brackets.
  std::vector<size_t> result(const SearchState& state) const override {
    std::vector<size_t> trained;
    for (size_t i : state.alive())
      if (state.networks[i].steps > 0) trained.push_back(i);
    if (trained.empty()) return state.alive();
    const std::vector<bool> front = on_front(estimates(state, trained));
    std::vector<size_t> result;
    for (size_t t = 0; t < trained.size(); ++t)
      if (front[t]) result.push_back(trained[t]);
    return result.empty() ? trained : result;
  }

 private:
  struct Place {
    int bracket, round;  // round within the bracket
  };
  /// The longest bracket begins at the lowest level, each of the others one level higher.
  GeometricLevels levels(const PolicyOptions& options, int bracket) const {
    return GeometricLevels(options, growth_, levels_, finals_).from(bracket);
  }
  int brackets(const PolicyOptions& options) const { return std::min(brackets_, levels(options, 0).rounds()); }
  Place place_of(const SearchState& state, int round) const {
    Place place{0, round};
    while (place.bracket + 1 < brackets(state.options)) {
      const int length = levels(state.options, place.bracket).rounds();
      if (place.round < length) break;
      place.round -= length;
      ++place.bracket;
    }
    return place;
  }

  /// In the order in which they are drawn: those that no bracket has had, then those that have left theirs.
  static std::vector<size_t> drawn(const SearchState& state) {
    std::vector<bool> had(state.networks.size());
    const auto rounds = static_cast<size_t>(state.round());
    for (size_t k = 0; k < rounds; ++k)
      for (size_t i : state.rounds[k].members) had[i] = true;
    std::vector<size_t> order = state.alive(), result;
    Random random(derive_seed(state.options.seed, "hyperband"));
    random.shuffle(order);
    for (bool again : {false, true})
      for (size_t i : order)
        if (had[i] == again && state.networks[i].steps < state.options.full_steps) result.push_back(i);
    if (result.empty()) result = order;  // all is trained in full
    return result;
  }

  /// Of the members of the round before, those that a share brings to the next level.
  std::vector<size_t> advancing(const SearchState& state, const std::vector<size_t>& before, long steps,
                                double share) const {
    std::vector<size_t> members, result;
    for (size_t i : before)
      if (state.networks[i].alive && state.networks[i].failure.empty()) members.push_back(i);
    if (members.empty()) return state.alive();  // none of them could be trained
    const std::vector<Verdict> verdicts = best_paid(state, members, estimates(state, members), steps, share);
    for (size_t m = 0; m < members.size(); ++m)
      if (verdicts[m].kept) result.push_back(members[m]);
    return result;
  }

  double growth_, finals_;
  int levels_, brackets_;
};

}  // namespace

std::unique_ptr<Algorithm> make_hyperband(const PolicyOptions& options) { return std::make_unique<Hyperband>(options); }

}  // namespace sonar
