#include "policy/survivors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/error.h"
#include "policy/pareto.h"

namespace sonar {
namespace {

using Indices = std::vector<size_t>;

void check(const std::vector<Objectives>& objectives, const std::vector<std::string>& names) {
  if (objectives.size() != names.size()) throw InternalError("survivors: one name per network is needed");
  for (size_t i = 0; i < objectives.size(); ++i) {
    if (!std::isfinite(objectives[i].accuracy))
      throw InternalError(fmt::format("survivors: the accuracy of {} is {}", names[i], objectives[i].accuracy));
    const double latency = objectives[i].latency_us;
    if (std::isnan(latency) || latency < 0)
      throw InternalError(fmt::format("survivors: the latency of {} is {}", names[i], latency));
  }
}

bool more_accurate(const Objectives& a, const Objectives& b) {
  return a.accuracy != b.accuracy ? a.accuracy > b.accuracy : a.latency_us < b.latency_us;
}

// Ranks of the networks `group`, those without a latency last.
std::vector<int> front_numbers(const std::vector<Objectives>& objectives, const Indices& group) {
  Points points;
  for (size_t i : group)
    if (std::isfinite(objectives[i].latency_us)) points.push_back({objectives[i].accuracy, objectives[i].latency_us});
  const std::vector<int> ranks = non_dominated_ranks(points, {true, false});
  const int last = ranks.empty() ? 0 : 1 + *std::max_element(ranks.begin(), ranks.end());
  std::vector<int> all;
  size_t next = 0;
  for (size_t i : group) all.push_back(std::isfinite(objectives[i].latency_us) ? ranks[next++] : last);
  return all;
}

std::vector<size_t> front_sizes(const std::vector<int>& ranks) {
  std::vector<size_t> sizes;
  for (int rank : ranks) {
    if (sizes.size() <= static_cast<size_t>(rank)) sizes.resize(rank + 1);
    ++sizes[rank];
  }
  return sizes;
}

// How many networks are kept, the best first.
size_t count_kept(const std::vector<int>& ranks, SurvivorRule rule) {
  const std::vector<size_t> sizes = front_sizes(ranks);
  if (rule == SurvivorRule::crowded) return sizes.empty() ? 0 : std::max(sizes[0], ranks.size() / 2);
  size_t kept = 0;
  for (size_t front = 0; front < sizes.size(); ++front) {
    const bool add = rule == SurvivorRule::paper ? 2 * kept <= ranks.size()
                                                 : front == 0 || 2 * (kept + sizes[front]) <= ranks.size();
    if (!add) break;
    kept += sizes[front];
  }
  return kept;
}

// Places in the group, best first: by front, within a front by crowding distance, the largest first (networks without a
// latency: by accuracy). Ties: the order of the networks.
Indices best_first(const std::vector<Objectives>& objectives, const Indices& group, const std::vector<int>& ranks) {
  Points points;
  std::vector<int> finite_ranks;
  for (size_t k = 0; k < group.size(); ++k) {
    if (std::isinf(objectives[group[k]].latency_us)) continue;
    points.push_back({objectives[group[k]].accuracy, objectives[group[k]].latency_us});
    finite_ranks.push_back(ranks[k]);
  }
  const std::vector<double> crowding = crowding_distances(points, finite_ranks);
  std::vector<double> worth;
  size_t next = 0;
  for (size_t i : group)
    worth.push_back(std::isinf(objectives[i].latency_us) ? objectives[i].accuracy : crowding[next++]);
  Indices order(group.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return ranks[a] != ranks[b] ? ranks[a] < ranks[b] : worth[a] > worth[b];
  });
  return order;
}

// Which of the group are the `count` best.
std::vector<bool> best_of(const std::vector<Objectives>& objectives, const Indices& group,
                          const std::vector<int>& ranks, size_t count) {
  const std::vector<size_t> sizes = front_sizes(ranks);
  size_t whole = 0, kept = 0;
  while (whole < sizes.size() && kept + sizes[whole] <= count) kept += sizes[whole++];
  std::vector<bool> result(group.size());
  if (kept == count || whole == sizes.size()) {
    for (size_t k = 0; k < group.size(); ++k) result[k] = static_cast<size_t>(ranks[k]) < whole;
  } else {
    const Indices order = best_first(objectives, group, ranks);
    for (size_t o = 0; o < count; ++o) result[order[o]] = true;
  }
  return result;
}

// Keeps the `count` first by front. `limit` says of what is dropped from a front that was cut why it was; `beyond`, of
// fronts that were not begun.
void judge_by_front(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                    const Indices& group, const std::vector<int>& ranks, size_t count, const std::string& beyond,
                    const std::string& limit, const std::string& group_text, std::vector<Verdict>& verdicts) {
  const std::vector<bool> kept = best_of(objectives, group, ranks, count);
  int begun = -1;  // the last front of which any is kept
  for (size_t k = 0; k < group.size(); ++k)
    if (kept[k]) begun = std::max(begun, ranks[k]);

  // The first front by latency: the last member that is no slower is the most accurate of those that are no slower, so
  // it dominates whatever the first front dominates at that latency.
  Indices first_front;
  for (size_t k = 0; k < group.size(); ++k)
    if (ranks[k] == 0) first_front.push_back(group[k]);
  std::stable_sort(first_front.begin(), first_front.end(),
                   [&](size_t a, size_t b) { return objectives[a].latency_us < objectives[b].latency_us; });

  for (size_t k = 0; k < group.size(); ++k) {
    const Objectives& network = objectives[group[k]];
    Verdict& verdict = verdicts[group[k]];
    verdict.rank = ranks[k];
    verdict.kept = kept[k];
    const std::string front_text = fmt::format("on front {}{}", ranks[k] + 1, group_text);
    if (std::isinf(network.latency_us)) {
      verdict.reason = "no valid program for one of its subgraphs";
      if (verdict.kept) verdict.reason += "; kept, as no more than half have a latency";
    } else if (verdict.kept) {
      verdict.reason = front_text;
    } else {
      verdict.reason = fmt::format("{}, {}", front_text, ranks[k] > begun ? beyond : limit);
      if (ranks[k] == 0) continue;
      const auto after =
          std::upper_bound(first_front.begin(), first_front.end(), network.latency_us,
                           [&](double latency, size_t member) { return latency < objectives[member].latency_us; });
      verdict.dominated_by = static_cast<int>(*(after - 1));
      verdict.reason += fmt::format("; dominated by {}", names[verdict.dominated_by]);
    }
  }
}

void judge_by_rule(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                   const Indices& group, SurvivorRule rule, const std::string& group_text,
                   std::vector<Verdict>& verdicts) {
  const std::vector<int> ranks = front_numbers(objectives, group);
  judge_by_front(objectives, names, group, ranks, count_kept(ranks, rule),
                 rule == SurvivorRule::paper ? "after half were kept" : "beyond the better half",
                 "of which only the least crowded fit into the half", group_text, verdicts);
}

const std::vector<std::string> kRuleNames = {"paper", "at-most-half", "crowded"};

}  // namespace

const std::vector<std::string>& survivor_rule_names() { return kRuleNames; }

SurvivorRule survivor_rule(const std::string& name, const std::string& place) {
  const auto found = std::find(kRuleNames.begin(), kRuleNames.end(), name);
  if (found == kRuleNames.end())
    throw UserError(fmt::format("{} is '{}'; it can be {}", place, name, fmt::join(kRuleNames, ", ")));
  return static_cast<SurvivorRule>(1 + (found - kRuleNames.begin()));
}

std::vector<Verdict> pareto_survivors(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                                      SurvivorRule rule) {
  check(objectives, names);
  Indices all(objectives.size());
  std::iota(all.begin(), all.end(), size_t{0});
  std::vector<Verdict> verdicts(objectives.size());
  judge_by_rule(objectives, names, all, rule, "", verdicts);
  return verdicts;
}

std::vector<size_t> order_by_front(const std::vector<Objectives>& objectives, const std::vector<std::string>& names) {
  check(objectives, names);
  Indices all(objectives.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return best_first(objectives, all, front_numbers(objectives, all));
}

std::vector<Verdict> best_by_front(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                                   size_t count, const std::string& why) {
  check(objectives, names);
  Indices all(objectives.size());
  std::iota(all.begin(), all.end(), size_t{0});
  std::vector<Verdict> verdicts(objectives.size());
  const std::string kept = fmt::format("{} are kept, as many as {}", std::min(count, all.size()), why);
  judge_by_front(objectives, names, all, front_numbers(objectives, all), count, kept, "crowded: " + kept, "", verdicts);
  return verdicts;
}

std::vector<Verdict> threshold_survivors(const std::vector<Objectives>& objectives,
                                         const std::vector<std::string>& names, double threshold_us,
                                         SurvivorRule rule) {
  check(objectives, names);
  if (!std::isfinite(threshold_us)) throw InternalError(fmt::format("survivors: the threshold is {}", threshold_us));
  Indices within, beyond;
  for (size_t i = 0; i < objectives.size(); ++i)
    (objectives[i].latency_us <= threshold_us ? within : beyond).push_back(i);
  std::vector<Verdict> verdicts(objectives.size());
  judge_by_rule(objectives, names, beyond, rule, " of those above the threshold", verdicts);

  std::stable_sort(within.begin(), within.end(),
                   [&](size_t a, size_t b) { return more_accurate(objectives[a], objectives[b]); });
  const size_t kept = (within.size() + 1) / 2;
  for (size_t place = 0; place < within.size(); ++place) {
    Verdict& verdict = verdicts[within[place]];
    verdict.rank = static_cast<int>(place);
    verdict.kept = place < kept;
    verdict.reason = fmt::format("number {} by accuracy of the {} within the threshold", place + 1, within.size());
    if (verdict.kept) continue;
    verdict.dominated_by = static_cast<int>(within[kept - 1]);
    verdict.reason += fmt::format(", behind {}", names[verdict.dominated_by]);
  }
  return verdicts;
}

std::vector<bool> on_front(const std::vector<Objectives>& objectives) {
  Points points;
  std::vector<size_t> places;
  for (size_t i = 0; i < objectives.size(); ++i) {
    if (!std::isfinite(objectives[i].accuracy) || !std::isfinite(objectives[i].latency_us)) continue;
    points.push_back({objectives[i].accuracy, objectives[i].latency_us});
    places.push_back(i);
  }
  std::vector<bool> result(objectives.size());
  const std::vector<int> ranks = non_dominated_ranks(points, {true, false});
  for (size_t p = 0; p < places.size(); ++p) result[places[p]] = ranks[p] == 0;
  return result;
}

int most_accurate_within(const std::vector<Objectives>& objectives, double threshold_us) {
  int best = -1;
  for (size_t i = 0; i < objectives.size(); ++i)
    if (objectives[i].latency_us <= threshold_us && (best < 0 || more_accurate(objectives[i], objectives[best])))
      best = static_cast<int>(i);
  return best;
}

}  // namespace sonar
