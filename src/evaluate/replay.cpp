#include "evaluate/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kUnlimited = 1e300;

class Replay {
 public:
  Replay(const Trace& trace, const Truth& truth, const ReplaySetup& setup, uint64_t seed)
      : trace_(trace), truth_(truth), setup_(setup), options_(setup.policy) {
    options_.seed = seed;
    options_.count_steps = false;
    double epochs = 0, programs = 1, gap = 0;
    for (const Trace::Network& network : trace.networks) {
      const auto& rows = network.training.rows;
      epochs = std::max(epochs, rows.back().epoch);
      for (size_t r = 1; r < rows.size(); ++r) gap = std::max(gap, rows[r].epoch - rows[r - 1].epoch);
    }
    for (const Trace::Subgraph& subgraph : trace.subgraphs)
      programs = std::max(programs, subgraph.tuning.full_programs());
    options_.full_steps = steps(epochs);
    options_.full_programs = static_cast<long>(std::ceil(programs));
    options_.minimum_slice = std::clamp(
        steps(setup.whole_rows ? std::max(setup.minimum_slice, gap) : setup.minimum_slice), 1L, options_.full_steps);
    exhaustive_ = options_.algorithm == "brute-force";
    train_budget_ = exhaustive_ ? kUnlimited : setup.train_budget_s;
    tune_budget_ = exhaustive_ ? kUnlimited : setup.tune_budget_s;
    run_.seed = seed;
  }

  ReplayRun run() {
    choose_candidates();
    if (policy_->algorithm().needs_defaults()) measure_defaults();
    while (policy_->begin_round(
        {train_budget_ - std::min(train_budget_, train_spent_), tune_budget_ - std::min(tune_budget_, tune_spent_)})) {
      scheduler_->set_occurrences(policy_->occurrences());
      before_ = {train_spent_, tune_spent_, run_.slices.size()};
      train();
      if (policy_->round().tune_share > 0) {
        measure_defaults();
        tune();
      }
      end_round();
    }
    judge();
    return std::move(run_);
  }

 private:
  long steps(double epochs) const { return static_cast<long>(std::ceil(epochs * setup_.steps_per_epoch - 1e-9)); }
  double epoch(long step) const { return static_cast<double>(step) / setup_.steps_per_epoch; }
  const TrainingCurve& training(size_t network) const { return trace_.networks[in_trace_[network]].training; }

  /// As a real run does: seeded, and no more than the training budget pays for.
  void choose_candidates() {
    const size_t all = trace_.networks.size();
    in_trace_ = sample_candidates(all, setup_.candidates == 0 ? all : setup_.candidates, options_.seed, "candidates");
    double cost = 0;
    for (size_t i = 0; i < in_trace_.size(); ++i) cost += first_step_cost(i);
    cost /= static_cast<double>(in_trace_.size());
    const std::unique_ptr<Algorithm> algorithm = make_algorithm(options_);
    const size_t affordable = algorithm->affordable(in_trace_.size(), train_budget_, cost, options_);
    if (affordable == 0)
      throw UserError(fmt::format(
          "{}: a training budget of {:.4g} s pays for no network: {:.4g} s are needed ({} epochs of one); lower "
          "--speedup",
          trace_.folder, train_budget_, cost * static_cast<double>(algorithm->least_training(options_)),
          epoch(algorithm->least_training(options_))));
    std::vector<size_t> chosen;
    for (size_t i : sample_candidates(in_trace_.size(), affordable, options_.seed, "affordable"))
      chosen.push_back(in_trace_[i]);
    in_trace_ = std::move(chosen);

    std::vector<NetworkState> networks;
    std::vector<SubgraphState> subgraphs;
    std::vector<TaskScheduler::Task> tasks;
    std::vector<size_t> place(trace_.subgraphs.size(), SIZE_MAX);  // only those of the candidates
    for (size_t t : in_trace_) {
      const Trace::Network& network = trace_.networks[t];
      NetworkState& state = networks.emplace_back();
      state.name = network.name;
      state.features = network.features;
      for (auto [subgraph, count] : network.subgraphs) {
        if (place[subgraph] == SIZE_MAX) {
          place[subgraph] = subgraphs.size();
          subgraph_in_trace_.push_back(subgraph);
          subgraphs.emplace_back().key = trace_.subgraphs[subgraph].key;
          subgraphs.back().macs = trace_.subgraphs[subgraph].macs;
          tasks.push_back({trace_.subgraphs[subgraph].key, trace_.subgraphs[subgraph].macs});
        }
        state.subgraphs.emplace_back(place[subgraph], count);
      }
    }
    scheduler_ =
        std::make_unique<TaskScheduler>(std::move(tasks), setup_.scheduler, derive_seed(options_.seed, "scheduler"));
    programs_.assign(subgraphs.size(), 0);
    policy_ = std::make_unique<SearchPolicy>(options_, std::move(networks), std::move(subgraphs), trace_.feature_names);
    for (size_t i = 0; i < in_trace_.size(); ++i) policy_->tell_timed_step(i, first_step_cost(i));
    if (options_.algorithm == "proxy-command") tell_proxies();
    run_.candidates = static_cast<long>(in_trace_.size());
  }

  void tell_proxies() {
    const std::vector<std::string>& names = trace_.feature_names;
    const auto found = std::find(names.begin(), names.end(), setup_.proxy_column);
    if (found == names.end())
      throw UserError(
          fmt::format("{}: networks.csv has no column '{}' to rank by: a run with search.proxy records 'proxy_ms', and "
                      "--proxy-column "
                      "names another; there are {}",
                      trace_.folder, setup_.proxy_column, fmt::join(names, ", ")));
    for (size_t i = 0; i < in_trace_.size(); ++i) {
      const Trace::Network& network = trace_.networks[in_trace_[i]];
      const double value = network.features[static_cast<size_t>(found - names.begin())];
      if (!std::isfinite(value))
        throw UserError(
            fmt::format("{}: networks.csv: {} has no number in the column '{}', by which proxy-command ranks; "
                        "give it one, or leave the network out",
                        trace_.folder, network.name, setup_.proxy_column));
      policy_->tell_proxy(i, value);
    }
  }

  /// What timing a few steps would tell: the mean over the first minimum slice.
  double first_step_cost(size_t network) const {
    const double slice = training(network).at(epoch(options_.minimum_slice)).seconds;
    const double cost = slice / static_cast<double>(options_.minimum_slice);
    return cost > 0 ? cost : training(network).full_seconds() / static_cast<double>(options_.full_steps);
  }

  // ---- training

  void train() {
    const RoundPlan& plan = policy_->round();
    const SearchState& state = policy_->state();
    std::vector<std::pair<double, size_t>> jobs;  // the longest first, as in a real run
    for (size_t m = 0; m < plan.members.size(); ++m) {
      const long further = plan.to_steps[m] - state.networks[plan.members[m]].steps;
      if (further > 0) jobs.emplace_back(state.step_cost(plan.members[m]) * static_cast<double>(further), m);
    }
    std::stable_sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& job : jobs) train(plan.members[job.second], plan.to_steps[job.second]);
  }

  void train(size_t network, long to_step) {
    const TrainingCurve& curve = training(network);
    const NetworkState& state = policy_->state().networks[network];
    const long least = std::min(to_step, state.steps + options_.minimum_slice);
    const double left = train_budget_ - train_spent_ + state.cost;
    if (stop(curve, state.steps, to_step).seconds > left) {
      // The plan knew the cost of a step so far only. Where the money ends, training ends.
      long low = least, high = to_step;
      while (low < high) {
        const long middle = high - (high - low) / 2;
        if (stop(curve, state.steps, middle).seconds <= left)
          low = middle;
        else
          high = middle - 1;
      }
      to_step = low;
    }
    const long from = state.steps;
    const double cost_before = state.cost;
    const TrainingCurve::Row end = stop(curve, from, to_step);
    if (setup_.whole_rows && end.epoch < curve.rows.back().epoch) to_step = std::max(from + 1, steps(end.epoch));
    const double from_epoch = epoch(from);
    for (const TrainingCurve::Row& row : curve.rows)  // the validations on the way
      if (row.epoch > from_epoch && row.epoch < end.epoch) {
        const long step = static_cast<long>(row.epoch * setup_.steps_per_epoch);
        if (step > state.steps && step < to_step) policy_->tell_training(network, step, row.accuracy, row.seconds);
      }
    policy_->tell_training(network, to_step, end.accuracy, end.seconds);
    train_spent_ += end.seconds - cost_before;
    run_.slices.push_back({in_trace_[network], state.accuracy, train_spent_});
  }

  /// Where a job from one step to another ends.
  TrainingCurve::Row stop(const TrainingCurve& curve, long from, long to) const {
    const double until = epoch(to);
    if (!setup_.whole_rows || until >= curve.rows.back().epoch) return curve.at(until);
    size_t row = 0;
    while (row + 1 < curve.rows.size() && (curve.rows[row + 1].epoch <= until || steps(curve.rows[row].epoch) <= from))
      ++row;
    return curve.rows[row];
  }

  // ---- tuning

  const TuningCurve& tuning(size_t subgraph) const { return trace_.subgraphs[subgraph_in_trace_[subgraph]].tuning; }

  /// Of the subgraphs in use that have none yet.
  void measure_defaults() {
    const std::vector<long> occurrences = policy_->occurrences();
    double cost = 0;
    for (size_t i = 0; i < occurrences.size(); ++i) {
      if (occurrences[i] == 0 || programs_[i] > 0) continue;
      const TuningCurve& curve = tuning(i);
      const TuningCurve::Row row = setup_.whole_rows ? curve.rows.front() : curve.at(1);
      programs_[i] = row.programs;
      cost += row.seconds;
      policy_->tell_default(i, row.latency_us, row.seconds);
      scheduler_->tell_default(i, row.latency_us);
      programs_told_ += row.programs;
    }
    if (tune_spent_ + cost > tune_budget_ * (1 + 1e-9))
      throw UserError(fmt::format(
          "{}: a tuning budget of {:.4g} s cannot pay for the default programs of {} unique subgraphs, which take "
          "{:.4g} s; --speedup can be at most {:.4g}",
          trace_.folder, tune_budget_, std::count_if(occurrences.begin(), occurrences.end(), [](long n) { return n; }),
          tune_spent_ + cost, std::floor(1000 * trace_.brute_force_tune_s / (tune_spent_ + cost)) / 1000));
    tune_spent_ += cost;
  }

  /// As a real run does with counted budgets: batches are asked for, without waiting for each other's results, until
  /// enough programs are out; a batch's result is known when its last program has come back.
  void tune() {
    const double share = policy_->round().tune_share, before = tune_spent_;
    struct Out {
      size_t subgraph;
      double until;
      double tried;
      double programs;  // still to come
    };
    std::deque<Out> queue;
    double out = 0;
    bool more = true;
    while (more || !queue.empty()) {
      while (more && out < static_cast<double>(setup_.programs_out)) {
        double left = kUnlimited;
        if (!exhaustive_) left = (share - (tune_spent_ - before)) / (tune_spent_ / programs_told_) + 1e-6;
        const auto batch = policy_->next_batch(*scheduler_, static_cast<long>(std::min(left, 1e15)));
        if (!batch) {  // or every subgraph has a batch out
          more = left >= 1 && !queue.empty();
          break;
        }
        const size_t i = batch->subgraph;
        const double until = affordable_end(i, batch->programs);
        if (until <= programs_[i]) {  // not even one program more
          scheduler_->cancel(i);
          more = false;
          break;
        }
        const double tried = until - programs_[i];
        tune_spent_ += tuning(i).at(until).seconds - tuning(i).at(programs_[i]).seconds;
        programs_told_ += tried;
        programs_[i] = until;
        out += tried;
        queue.push_back({i, until, tried, tried});
      }
      if (queue.empty()) break;
      Out& first = queue.front();
      // Nothing is asked for before the number of programs out has fallen, or the batch has ended.
      const double arrive =
          more && out >= static_cast<double>(setup_.programs_out)
              ? std::min(first.programs, std::max(1.0, out - static_cast<double>(setup_.programs_out) + 1))
              : first.programs;
      first.programs -= arrive;
      out -= arrive;
      if (first.programs > 0) continue;
      const TuningCurve& curve = tuning(first.subgraph);
      const TuningCurve::Row row = curve.at(first.until);
      policy_->tell_batch(first.subgraph, static_cast<long>(first.tried), row.latency_us, row.seconds);
      scheduler_->tell_batch(first.subgraph, row.latency_us, static_cast<long>(first.tried),
                             first.until >= curve.full_programs());
      queue.pop_front();
    }
  }

  /// To how many programs a batch of so many more can bring the subgraph: no further than its curve and the budget.
  double affordable_end(size_t subgraph, long programs) const {
    const TuningCurve& curve = tuning(subgraph);
    const double from = programs_[subgraph], paid = curve.at(from).seconds;
    double until = std::min(from + static_cast<double>(programs), curve.full_programs());
    if (setup_.whole_rows) {
      until = row_until(curve, from, until);
      return tune_spent_ + curve.at(until).seconds - paid > tune_budget_ ? from : until;
    }
    while (until > from && tune_spent_ + curve.at(until).seconds - paid > tune_budget_)
      until = std::max(from, until - 1);
    return until;
  }

  static double row_until(const TuningCurve& curve, double from, double until) {
    double last = from;
    for (const TuningCurve::Row& row : curve.rows) {
      if (row.programs > until && last > from) break;
      if (row.programs > from) last = row.programs;
      if (last > until) break;
    }
    return last;
  }

  // ---- what came of it

  void end_round() {
    ReplayRound round;
    for (Decision decision : policy_->end_round()) {
      ++round.networks;
      round.survivors += decision.verdict.kept;
      decision.network = in_trace_[decision.network];
      if (decision.verdict.dominated_by >= 0)
        decision.verdict.dominated_by = static_cast<int>(in_trace_[static_cast<size_t>(decision.verdict.dominated_by)]);
      run_.decisions.push_back(std::move(decision));
    }
    round.train_spent_s = train_spent_;
    round.tune_spent_s = tune_spent_;
    const double trained = train_spent_ - before_.train_s;
    const double pace = trained > 0 ? (tune_spent_ - before_.tune_s) / trained : 0;
    for (size_t i = before_.slices; i < run_.slices.size(); ++i)
      run_.slices[i].spent_s += before_.tune_s + pace * (run_.slices[i].spent_s - before_.train_s);
    round.achieved = achieved();
    run_.rounds.push_back(round);
  }

  AccuracyGap achieved() const {
    std::vector<double> accuracy(trace_.networks.size(), kNan);
    for (size_t i = 0; i < in_trace_.size(); ++i)
      if (const NetworkState& state = policy_->state().networks[i]; state.steps > 0)
        accuracy[in_trace_[i]] = state.accuracy;
    return truth_.gap(accuracy);
  }

  void judge() {
    std::vector<double> accuracy(trace_.networks.size(), kNan);
    for (size_t i : policy_->result()) {
      run_.survivors.push_back(in_trace_[i]);
      accuracy[in_trace_[i]] = trace_.networks[in_trace_[i]].final_accuracy;
    }
    for (size_t i : policy_->result())
      run_.measured.push_back({policy_->state().networks[i].accuracy, policy_->state().latency_us(i)});
    run_.answers = policy_->algorithm().answers(run_.measured, policy_->state().options);
    run_.selected = truth_.gap(accuracy);
    run_.achieved = achieved();
    run_.hypervolume_ratio = truth_.hypervolume_ratio(run_.survivors);
    std::vector<size_t> all(in_trace_.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    std::vector<double> estimated, final;
    for (const Objectives& objectives : policy_->algorithm().estimates(policy_->state(), all))
      estimated.push_back(objectives.latency_us);
    for (size_t t : in_trace_) final.push_back(trace_.networks[t].final_latency_us);
    run_.kendall_tau = kendall_tau(estimated, final);
    run_.train_spent_s = train_spent_;
    run_.tune_spent_s = tune_spent_;
  }

  const Trace& trace_;
  const Truth& truth_;
  const ReplaySetup& setup_;
  PolicyOptions options_;
  bool exhaustive_ = false;
  double train_budget_ = 0, tune_budget_ = 0, train_spent_ = 0, tune_spent_ = 0, programs_told_ = 0;
  struct {
    double train_s, tune_s;
    size_t slices;
  } before_{};                                        // the open round: spent, slices ended
  std::vector<size_t> in_trace_, subgraph_in_trace_;  // of a candidate, of a subgraph: its place in the trace
  std::vector<double> programs_;                      // tried of each subgraph
  std::unique_ptr<SearchPolicy> policy_;
  std::unique_ptr<TaskScheduler> scheduler_;
  ReplayRun run_;
};

}  // namespace

ReplayRun replay(const Trace& trace, const Truth& truth, const ReplaySetup& setup, uint64_t seed) {
  return Replay(trace, truth, setup, seed).run();
}

}  // namespace sonar
