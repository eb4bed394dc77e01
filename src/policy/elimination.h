// Verdicts that weigh how sure the estimates are: options of the halving (docs/algorithm.md, "Options of the halving").
#pragma once
#include <string>
#include <vector>

#include "policy/search_state.h"
#include "policy/survivors.h"

namespace sonar {

/// What each network's accuracy may still change by, in comparison with the others': a variance, by place in
/// `networks`. It is the sum of
/// - that of an accuracy a over n validation images, a (1 - a) / n (n of the last validation, or else `images`; 0 means
///   not known and adds nothing), and
/// - the variance, over the networks, of the rise of the best accuracy since the round before: what networks that then
///   looked alike have come to differ by. Before a second round, that of the accuracies themselves.
std::vector<double> accuracy_variances(const SearchState& state, const std::vector<size_t>& networks, double images);

/// What `rule` keeps, and beyond it what is not surely dominated: where no network of the first front that is no slower
/// is more accurate by `confidence` standard deviations of their difference (variances add up). Of these the least
/// surely dominated are kept, until `most` are kept in all. variance: of each accuracy.
std::vector<Verdict> confident_survivors(const std::vector<Objectives>& objectives,
                                         const std::vector<std::string>& names, SurvivorRule rule,
                                         const std::vector<double>& variance, double confidence, size_t most);

/// Lower bounds of the latencies of `networks`, by what has been measured so far: each subgraph at twice the best
/// throughput (multiply-accumulates a second) of any subgraph of its kind, the scheduler's floor, or at the device's
/// peak where that is known and lower. Where the subgraphs' multiply-accumulates are not known, the network at twice
/// the best throughput of any of the networks, by those that its features state ("macs"); 0 where nothing is known.
/// Never above the latency as it stands.
std::vector<double> latency_floors_us(const SearchState& state, const std::vector<size_t>& networks);

/// Of what `verdicts` keep, drops what would be dominated even at the lower bound of its latency: by a network of the
/// first front that is more accurate by `margin` standard deviations of the difference.
void drop_hopeless(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                   const std::vector<double>& floor_us, const std::vector<double>& variance, double margin,
                   std::vector<Verdict>& verdicts);

}  // namespace sonar
