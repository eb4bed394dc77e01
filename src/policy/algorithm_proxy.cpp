// Latency proxies (paper section 4.3): the networks are halved by accuracy and a number that stands for latency; only
// what is left is tuned, in a last round, with the whole tuning budget.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/error.h"
#include "policy/algorithms.h"
#include "policy/architecture_features.h"

namespace sonar {
namespace {

class Proxy : public Algorithm {
 public:
  int rounds(const SearchState& state) const override { return halvings(state) + 1; }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    const int left = halvings(state) - state.round();
    if (left > 0) {
      RoundPlan plan = plan_equal_training(state, remaining, left);
      plan.tune_share = 0;
      return plan;
    }
    RoundPlan plan;
    plan.members = state.alive();
    for (size_t i : plan.members) plan.to_steps.push_back(state.networks[i].steps);
    plan.tune_share = remaining.tune;
    return plan;
  }
  std::vector<Objectives> estimates(const SearchState& state, const std::vector<size_t>& networks) const override {
    std::vector<Objectives> result;
    for (size_t i : networks) result.push_back({state.networks[i].accuracy, proxy(state, i)});
    return result;
  }
  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    if (state.round() >= halvings(state)) return keep_all(members.size(), "kept: tuned after the proxy's halving");
    return pareto_survivors(objectives, names_of(state, members), state.options.survivors);
  }

 private:
  static int halvings(const SearchState& state) { return round_count(state.networks.size()); }
  /// In place of microseconds; only its order counts.
  virtual double proxy(const SearchState& state, size_t network) const = 0;
};

class Flops : public Proxy {
 public:
  bool needs_defaults() const override { return false; }

 private:
  double proxy(const SearchState& state, size_t network) const override {
    const double stated = stated_macs(state.feature_names, state.networks[network].features);
    if (!std::isnan(stated)) return stated;
    if (const double macs = state.macs(network); macs > 0) return macs;
    throw UserError(fmt::format(
        "proxy-flops: the multiply-accumulates of {} are not known; give them in a column 'macs' of the networks",
        state.networks[network].name));
  }
};

class Untuned : public Proxy {
  double proxy(const SearchState& state, size_t network) const override { return state.untuned_us(network); }
};

/// What a command of the user's says of each network (search.proxy), or a column of a trace.
class Command : public Proxy {
 public:
  bool needs_defaults() const override { return false; }

 private:
  double proxy(const SearchState& state, size_t network) const override {
    constexpr double kMicroseconds = 1000;
    if (const std::optional<double>& ms = state.networks[network].proxy_ms) return kMicroseconds * *ms;
    throw UserError("proxy-command: no number is known of " + state.networks[network].name +
                    "; name the command that gives it with search.proxy");
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_proxy_flops(const PolicyOptions&) { return std::make_unique<Flops>(); }
std::unique_ptr<Algorithm> make_proxy_untuned(const PolicyOptions&) { return std::make_unique<Untuned>(); }
std::unique_ptr<Algorithm> make_proxy_command(const PolicyOptions&) { return std::make_unique<Command>(); }

}  // namespace sonar
