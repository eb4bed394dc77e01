// The makers of the algorithms, one file each; algorithm.cpp lists them.
#pragma once
#include "policy/algorithm.h"

namespace sonar {

std::unique_ptr<Algorithm> make_pareto(const PolicyOptions& options);         // algorithm_halving.cpp
std::unique_ptr<Algorithm> make_threshold(const PolicyOptions& options);      // algorithm_halving.cpp
std::unique_ptr<Algorithm> make_brute_force(const PolicyOptions& options);    // algorithm_full.cpp
std::unique_ptr<Algorithm> make_random(const PolicyOptions& options);         // algorithm_full.cpp
std::unique_ptr<Algorithm> make_proxy_flops(const PolicyOptions& options);    // algorithm_proxy.cpp
std::unique_ptr<Algorithm> make_proxy_untuned(const PolicyOptions& options);  // algorithm_proxy.cpp
std::unique_ptr<Algorithm> make_proxy_command(const PolicyOptions& options);  // algorithm_proxy.cpp
std::unique_ptr<Algorithm> make_sonar_plus(const PolicyOptions& options);     // algorithm_sonar_plus.cpp
std::unique_ptr<Algorithm> make_hyperband(const PolicyOptions& options);      // algorithm_hyperband.cpp

/// A setting that is a number. Throws UserError, which names algorithm and setting, when it is none or out of range.
double setting_number(const PolicyOptions& options, const std::string& key, double otherwise, double low, double high);

/// A plan that gives every live network the same further training and cuts `rounds_left`-th parts of both budgets
/// (design 5.1).
RoundPlan plan_equal_training(const SearchState& state, const Remaining& remaining, int rounds_left);

/// A plan that trains `members` up to `steps` as far as `train_share` pays, the same further training for each.
RoundPlan plan_to_level(const SearchState& state, std::vector<size_t> members, double train_share, double tune_share,
                        long steps);

/// Of the members, best first by front and crowding, as many as a share of the training budget trains to `steps`; at
/// least one.
std::vector<Verdict> best_paid(const SearchState& state, const std::vector<size_t>& members,
                               const std::vector<Objectives>& objectives, long steps, double share);

/// Names of networks, by index into the state.
std::vector<std::string> names_of(const SearchState& state, const std::vector<size_t>& networks);

/// Verdicts that keep all.
std::vector<Verdict> keep_all(size_t networks, const std::string& reason);

}  // namespace sonar
