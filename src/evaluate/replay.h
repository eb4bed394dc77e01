// Runs a search algorithm on a trace: the decisions are those of a real run (policy/search_policy.h, the task
// scheduler), only the jobs are looked up. Both ledgers are in recorded seconds.
#pragma once
#include <string>
#include <vector>

#include "evaluate/metrics.h"
#include "evaluate/trace.h"
#include "policy/search_policy.h"

namespace sonar {

struct ReplaySetup {
  PolicyOptions policy;  // full_steps, minimum_slice, full_programs, count_steps and seed are set by the replay
  SchedulerRule scheduler = SchedulerRule::gradient;
  double train_budget_s = 0, tune_budget_s = 0;  // brute force spends what it must
  size_t candidates = 0;                         // a seeded sample of the trace's networks to begin with; 0: all
  double steps_per_epoch = 100;                  // how finely training can be stopped
  double minimum_slice = 0.1;                    // epochs: the least further training that teaches something
  long programs_out = 48;                 // batches are asked for until so many programs are out, as a real run does
  bool whole_rows = false;                // curves can be stopped at their rows only
  std::string proxy_column = "proxy_ms";  // of networks.csv, by which proxy-command ranks
};

/// What stood when a round had ended.
struct ReplayRound {
  long networks = 0, survivors = 0;
  double train_spent_s = 0, tune_spent_s = 0;
  AccuracyGap achieved;
};

struct ReplayRun {
  uint64_t seed = 0;
  AccuracyGap selected;          // of the returned networks, with their final accuracy
  AccuracyGap achieved;          // of all networks trained, with the best accuracy observed
  double hypervolume_ratio = 0;  // of the returned networks
  double kendall_tau = 0;        // of the search's latencies against the final ones, over its candidates
  long candidates = 0;           // begun with
  double train_spent_s = 0, tune_spent_s = 0;
  std::vector<size_t> survivors;     // the returned networks, by place in the trace
  std::vector<Objectives> measured;  // of each survivor: best accuracy observed, latency by the programs tried
  std::vector<bool> answers;         // of each survivor: it is on the front that the search itself sees
  std::vector<TrainedSlice> slices;  // in order
  std::vector<ReplayRound> rounds;
  std::vector<Decision> decisions;  // in order of the rounds; networks and dominated_by by place in the trace
};

/// Never spends more than a budget, except that every network of a round is trained for one minimum slice at least, be
/// the budget used up or not, and (whole_rows) that a first row is paid whole. Throws UserError when a budget pays for
/// no network or not for the default programs, with the number that could.
ReplayRun replay(const Trace& trace, const Truth& truth, const ReplaySetup& setup, uint64_t seed);

}  // namespace sonar
