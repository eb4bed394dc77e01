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

/// A plan that gives every live network the same further training and cuts `rounds_left`-th parts of both budgets
/// (design 5.1).
RoundPlan plan_equal_training(const SearchState& state, const Remaining& remaining, int rounds_left);

/// Names of networks, by index into the state.
std::vector<std::string> names_of(const SearchState& state, const std::vector<size_t>& networks);

/// Verdicts that keep all.
std::vector<Verdict> keep_all(size_t networks, const std::string& reason);

}  // namespace sonar
