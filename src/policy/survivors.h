// Which networks of a round live on: Algorithm 1's rule and its latency-threshold variant (design 5.8, 5.9).
#pragma once
#include <string>
#include <vector>

#include "model/objectives.h"

namespace sonar {

enum class SurvivorRule {
  paper = 1,         // add whole fronts while |S_{k+1}| <= |S_k| / 2, literally
  at_most_half = 2,  // add whole fronts while the sum stays at most half; never cuts the first front
  crowded = 3,       // at most half, filled up from the front that crosses it: its members of largest crowding distance
};
/// "paper", "at-most-half", "crowded": what configurations say.
const std::vector<std::string>& survivor_rule_names();
/// Throws UserError, which names `place`, on a name that is none.
SurvivorRule survivor_rule(const std::string& name, const std::string& place);

struct Verdict {
  bool kept = true;
  int rank = 0;  // front number within its group, 0 = first; in L: place by accuracy, 0 = most accurate
  int dominated_by =
      -1;              // for a dropped point: an index on the first front that dominates it (or, under a threshold,
                       // the least accurate kept network of L); -1 when kept, on the first front or without a latency
  std::string reason;  // for people: "on front 1", "on front 4, after half were kept; dominated by NAME"
};

/// `names[i]` is used in reasons. Sizes must agree. Accuracies must be finite. A latency of infinity means that one of
/// the network's subgraphs has no valid program yet: such networks form the last front, whatever their accuracy
/// (so all are kept when no network has a latency). Throws InternalError otherwise, naming the network.
std::vector<Verdict> pareto_survivors(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                                      SurvivorRule rule);

/// Best first: by front, and within a front by crowding distance (NSGA-II, Deb et al. 2002, section III-C), the largest
/// first; without a latency: last, by accuracy. Ties: the order given.
std::vector<size_t> order_by_front(const std::vector<Objectives>& objectives, const std::vector<std::string>& names);

/// The `count` first in that order; the first front may be cut too. `why` ends the reason of what is dropped: "... are
/// kept, as many as WHY".
std::vector<Verdict> best_by_front(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                                   size_t count, const std::string& why);

/// L = {latency <= threshold}: the more accurate ceil(|L|/2) live on (ties: lower latency, then order);
/// R = the rest, by pareto_survivors. An empty L or R is a no-op.
std::vector<Verdict> threshold_survivors(const std::vector<Objectives>& objectives,
                                         const std::vector<std::string>& names, double threshold_us, SurvivorRule rule);

/// Which of the networks are on their front. One whose accuracy or latency is not finite is not.
std::vector<bool> on_front(const std::vector<Objectives>& objectives);

/// The threshold search's answer: index of the most accurate network with latency <= threshold (ties: lower latency,
/// then order), or -1 when none reaches it.
int most_accurate_within(const std::vector<Objectives>& objectives, double threshold_us);

}  // namespace sonar
