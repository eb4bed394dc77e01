// From the rows of a run store to what a report shows.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "policy/halving.h"
#include "policy/pareto.h"
#include "report/report.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// Values that a report uses when they are there; docs/formats.md explains them.
constexpr const char* kValueNames[] = {"elapsed_s",
                                       "wall_seconds",
                                       "finished",
                                       "algorithm",
                                       "threshold_us",
                                       "classes",
                                       "train_images",
                                       "full_steps",
                                       "full_programs",
                                       "train_seconds",
                                       "tune_seconds",
                                       "brute_force_train_seconds",
                                       "brute_force_tune_seconds",
                                       "rounds",
                                       "time_budget_s",
                                       "train_budget",
                                       "train_spent",
                                       "train_unit",
                                       "tune_budget",
                                       "tune_spent",
                                       "tune_unit"};

void read_values(const RunStore& store, ReportData& data) {
  for (const char* name : kValueNames) {
    const auto text = store.value(name);
    if (!text) continue;
    double number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error == std::errc{} && end == text->data() + text->size() && std::isfinite(number))
      data.numbers[name] = number;
    else
      data.texts[name] = *text;
  }
  // A search without a threshold may store 0 for it.
  if (const auto threshold = data.number("threshold_us"); threshold && !(*threshold > 0))
    data.numbers.erase("threshold_us");
}

/// "90s", "20m", "2h", "2d" in seconds; nothing for other text.
std::optional<double> duration_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end + 1 != text.data() + text.size() || !(value > 0)) return std::nullopt;
  switch (*end) {
    case 's':
      return value;
    case 'm':
      return 60 * value;
    case 'h':
      return 3600 * value;
    case 'd':
      return 86400 * value;
  }
  return std::nullopt;
}

/// The ledgers of a run that did not store them, from its configuration.
void derive_budgets(ReportData& data) {
  const std::map<std::string, std::string> configuration(data.configuration.begin(), data.configuration.end());
  auto text = [&](const char* key) {
    const auto it = configuration.find(key);
    return it == configuration.end() ? std::string() : it->second;
  };
  auto number = [&](const char* key) {
    const std::string value = text(key);
    double result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    return error == std::errc{} && end == value.data() + value.size() ? result : 0.0;
  };
  auto ledger = [&](const std::string& side, double budget, double spent, const char* unit) {
    if (!(budget > 0) || !std::isfinite(budget) || data.number(side + "_budget")) return;
    data.numbers[side + "_budget"] = budget;
    data.numbers[side + "_spent"] = spent;
    data.texts[side + "_unit"] = unit;
  };
  ledger("tune", number("search.programs"), static_cast<double>(data.programs.size()), "programs");
  if (number("train.epochs") > 0)
    ledger("train", number("search.epochs") * data.number("full_steps").value_or(0) / number("train.epochs"),
           static_cast<double>(data.steps), "steps");
  if (!data.number("time_budget_s"))
    if (const auto time = duration_of(text("search.time"))) data.numbers["time_budget_s"] = *time;
}

/// K, as far as it can be known before the run has ended.
int planned_rounds(const ReportData& data) {
  const int begun = static_cast<int>(data.rounds.size());
  if (data.finished || data.networks.empty()) return begun;
  if (const auto rounds = data.number("rounds")) return std::max(begun, static_cast<int>(*rounds));
  const auto algorithm = data.texts.find("algorithm");
  const bool halving =
      algorithm == data.texts.end() || algorithm->second == "pareto" || algorithm->second == "threshold";
  return std::max(begun, halving ? round_count(data.networks.size()) : 1);
}

/// Whether a latency is one: a sum over nothing, or a corrupt zero, would lie on every front.
bool is_latency(double us) { return std::isfinite(us) && us > 0; }

class SubgraphIndex {
 public:
  explicit SubgraphIndex(std::vector<SubgraphView>& views) : views_(views) {}
  SubgraphView& at(const SubgraphKey& key) {
    const auto [it, fresh] = index_.try_emplace(key, views_.size());
    if (fresh) {
      views_.emplace_back();
      views_.back().key = key;
      views_.back().default_us = views_.back().best_us = kInfinity;
    }
    return views_[it->second];
  }

 private:
  std::vector<SubgraphView>& views_;
  std::unordered_map<SubgraphKey, size_t> index_;
};

void read_programs(const RunStore& store, ReportData& data, SubgraphIndex& subgraphs) {
  data.programs = store.programs();
  std::unordered_map<long, MeasurePurpose> purposes;
  for (const MeasureJobRow& job : store.measure_jobs()) purposes[job.id] = job.purpose;
  for (ProgramRow& program : data.programs) {
    SubgraphView& view = subgraphs.at(program.subgraph);
    ++view.programs;
    auto* measured = std::get_if<Measurement>(&program.outcome);
    if (!measured) {
      ++view.failed;
      ++data.failed_programs;
      continue;
    }
    measured->samples_us = {};
    if (!is_latency(measured->median_us)) continue;
    const auto purpose = purposes.find(program.job);
    if (purpose != purposes.end() && purpose->second == MeasurePurpose::fallback && !std::isfinite(view.default_us))
      view.default_us = measured->median_us;
    if (measured->median_us < view.best_us) {
      view.best_us = measured->median_us;
      view.curve.push_back({view.programs, view.best_us});
    }
  }
  // Answers that were taken from records as they stand.
  std::unordered_map<std::string, double> earlier;
  for (const EarlierRow& row : store.earlier())
    if (row.latency_us)
      if (auto [best, added] = earlier.try_emplace(row.subgraph, *row.latency_us); !added)
        best->second = std::min(best->second, *row.latency_us);
  for (const EarlierSubgraphRow& row : store.earlier_subgraphs())
    if (SubgraphView& view = subgraphs.at(row.subgraph); row.answered && view.programs == 0)
      view.best_us = earlier.at(row.subgraph);
}

template <class LatencyOf>
double sum_over(const NetworkRow& network, SubgraphIndex& subgraphs, const LatencyOf& latency_of) {
  if (network.subgraphs.empty()) return kInfinity;
  double sum = 0;
  for (const auto& [key, occurrences] : network.subgraphs) sum += occurrences * latency_of(subgraphs.at(key));
  return sum;
}

void read_networks(const RunStore& store, ReportData& data, SubgraphIndex& subgraphs) {
  std::unordered_map<std::string, size_t> index;
  for (NetworkRow& row : store.networks()) {
    index[row.name] = data.networks.size();
    NetworkView& view = data.networks.emplace_back();
    view.objectives = {kUnknown, sum_over(row, subgraphs, [](const SubgraphView& s) { return s.best_us; })};
    view.default_latency_us = sum_over(row, subgraphs, [](const SubgraphView& s) { return s.default_us; });
    view.network = std::move(row);
  }
  auto find = [&](const std::string& name) -> NetworkView* {
    const auto it = index.find(name);
    return it == index.end() ? nullptr : &data.networks[it->second];
  };
  for (auto& timed : store.train_points())
    if (NetworkView* view = find(timed.point.network)) view->points.push_back(std::move(timed.point));
  for (NetworkView& view : data.networks) {
    std::stable_sort(view.points.begin(), view.points.end(),
                     [](const TrainPoint& a, const TrainPoint& b) { return a.step < b.step; });
    for (const TrainPoint& point : view.points)
      if (!(view.objectives.accuracy >= point.val_accuracy)) view.objectives.accuracy = point.val_accuracy;
    if (!view.points.empty()) data.steps += view.points.back().step;
  }

  std::unordered_map<int, size_t> round_index;
  for (RoundRow& row : store.rounds()) {
    round_index[row.round] = data.rounds.size();
    data.rounds.push_back({static_cast<int>(data.rounds.size()) + 1, std::move(row)});
  }
  for (const DecisionRow& decision : store.decisions()) {
    const auto round = round_index.find(decision.round);
    NetworkView* view = find(decision.network);
    if (round == round_index.end() || !view) continue;
    RoundView& in_round = data.rounds[round->second];
    ++(decision.kept ? in_round.kept : in_round.dropped);
    // The accuracy stays the one observed: what a decision stood on may have been predicted.
    view->objectives.latency_us = decision.objectives.latency_us;
    view->alive = decision.kept;
    view->round = in_round.ordinal;
    view->rank = decision.rank;
    view->reason = decision.reason;
  }
  for (const ResultRow& result : store.results()) {
    data.has_results = true;
    NetworkView* view = find(result.network);
    if (!view) continue;
    view->alive = true;
    view->objectives = result.objectives;
    view->on_front = result.on_front;
    view->test_accuracy = result.test_accuracy;
    view->end_to_end_us = result.end_to_end_us;
    view->end_to_end_spread = result.end_to_end_spread;
  }
}

/// While there are no results, the front is that of the networks alive. Under a threshold the results mark the answer
/// alone, so the front that the plots show is worked out in any case.
void mark_front(ReportData& data) {
  std::vector<NetworkView*> alive;
  for (NetworkView& view : data.networks)
    if (view.alive && view.has_estimates()) alive.push_back(&view);
  if (!alive.empty()) {
    Points points;
    for (const NetworkView* view : alive) points.push_back({view->objectives.accuracy, view->objectives.latency_us});
    const std::vector<int> ranks = non_dominated_ranks(points, {true, false});
    for (size_t i = 0; i < alive.size(); ++i) {
      alive[i]->non_dominated = ranks[i] == 0;
      if (!data.has_results) alive[i]->on_front = ranks[i] == 0;
    }
  }
  if (const auto threshold = data.number("threshold_us")) {
    NetworkView* best = nullptr;
    for (NetworkView* view : alive)
      if ((view->on_front || !data.has_results) && view->objectives.latency_us <= *threshold &&
          (!best || view->objectives.accuracy > best->objectives.accuracy ||
           (view->objectives.accuracy == best->objectives.accuracy &&
            view->objectives.latency_us < best->objectives.latency_us)))
        best = view;
    if (best) best->selected = true;
  }

  // The knee: the point of the front farthest above the straight line between its ends, latency on a logarithmic scale.
  std::vector<NetworkView*> front;
  for (NetworkView* view : alive)
    if (view->non_dominated) front.push_back(view);
  std::sort(front.begin(), front.end(), [](const NetworkView* a, const NetworkView* b) {
    return a->objectives.latency_us < b->objectives.latency_us;
  });
  if (front.size() < 3) return;
  const Objectives first = front.front()->objectives, last = front.back()->objectives;
  const double width = std::log(last.latency_us / first.latency_us), height = last.accuracy - first.accuracy;
  if (!(width > 0) || !(height > 0)) return;
  NetworkView* knee = nullptr;
  double farthest = 0;
  for (NetworkView* view : front) {
    const double above = (view->objectives.accuracy - first.accuracy) / height -
                         std::log(view->objectives.latency_us / first.latency_us) / width;
    if (above > farthest) farthest = above, knee = view;
  }
  if (knee) knee->knee = true;
}

SideUse use_of(const std::vector<UsageRow>& usage, Side side, double elapsed_s) {
  std::map<int, std::vector<std::pair<double, double>>> by_core;
  for (const UsageRow& row : usage)
    if (row.side == side && row.ended_s > row.started_s) by_core[row.core].emplace_back(row.started_s, row.ended_s);
  SideUse use;
  use.cores = static_cast<int>(by_core.size());
  for (auto& [core, stretches] : by_core) {
    std::sort(stretches.begin(), stretches.end());
    double covered = -kInfinity;
    for (const auto& [start, end] : stretches) {
      if (end > covered) use.busy_s += end - std::max(start, covered);
      covered = std::max(covered, end);
    }
  }
  if (use.cores > 0 && elapsed_s > 0) use.fraction = std::min(1.0, use.busy_s / (use.cores * elapsed_s));
  return use;
}

}  // namespace

bool NetworkView::has_estimates() const {
  return std::isfinite(objectives.accuracy) && is_latency(objectives.latency_us);
}

std::optional<double> ReportData::number(const std::string& name) const {
  const auto it = numbers.find(name);
  return it == numbers.end() ? std::nullopt : std::optional(it->second);
}

size_t ReportData::alive() const {
  return std::count_if(networks.begin(), networks.end(), [](const NetworkView& view) { return view.alive; });
}

ReportData gather_report(const RunStore& store) {
  ReportData data;
  data.folder = store.folder();
  data.writer = RunStore::writer(store.folder());
  data.configuration = store.configuration();
  data.identity = store.identity();
  data.usage = store.usage();
  data.failures = store.failures();
  data.events = store.events();
  read_values(store, data);
  data.finished = data.number("finished") == 1.0;

  SubgraphIndex subgraphs(data.subgraphs);
  read_programs(store, data, subgraphs);
  read_networks(store, data, subgraphs);
  mark_front(data);
  for (const NetworkView& view : data.networks)
    if (view.alive)
      for (const auto& [key, occurrences] : view.network.subgraphs) subgraphs.at(key).occurrences += occurrences;
  auto contribution = [](const SubgraphView& s) { return std::isfinite(s.best_us) ? s.occurrences * s.best_us : -1; };
  std::stable_sort(data.subgraphs.begin(), data.subgraphs.end(),
                   [&](const SubgraphView& a, const SubgraphView& b) { return contribution(a) > contribution(b); });

  data.planned_rounds = planned_rounds(data);
  derive_budgets(data);

  data.elapsed_s = data.number("elapsed_s").value_or(0);
  auto at_least = [&](double seconds) {
    if (std::isfinite(seconds)) data.elapsed_s = std::max(data.elapsed_s, seconds);
  };
  for (const UsageRow& row : data.usage) at_least(row.ended_s);
  for (const RoundView& round : data.rounds) at_least(round.row.ended_s);
  if (!data.programs.empty()) at_least(data.programs.back().elapsed_s);
  data.train_use = use_of(data.usage, Side::train, data.elapsed_s);
  data.tune_use = use_of(data.usage, Side::tune, data.elapsed_s);
  return data;
}

}  // namespace sonar
