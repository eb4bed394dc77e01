// What a search algorithm decides. An algorithm is a value without state of its own: each member is a function of the
// SearchState, so a replay and a continued run decide what the first run did. A new one is a new file that implements
// this, and a line in algorithm.cpp.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/objectives.h"
#include "policy/search_state.h"
#include "policy/task_scheduler.h"

namespace sonar {

/// What is left of the two budgets, in the units of the ledgers, what is set aside already taken off.
struct Remaining {
  double train = 0, tune = 0;
};

/// Programs of one subgraph to try next.
struct BatchPlan {
  size_t subgraph = 0;
  long programs = 0;
};

class Algorithm {
 public:
  virtual ~Algorithm() = default;

  /// Of `networks` candidates, how many to begin with, given a training budget of `total` ledger units and the mean
  /// cost of an optimiser step; 0: the budget pays for none. The caller samples so many (sample_candidates).
  virtual size_t affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const;
  /// The least that one network is trained, in steps: what `affordable` pays for, for messages.
  virtual long least_training(const PolicyOptions& options) const { return options.minimum_slice; }
  /// Whether the default program of every subgraph is measured before the first round. Otherwise those of the members'
  /// subgraphs are, when a round with a tuning share begins.
  virtual bool needs_defaults() const { return true; }

  /// Rounds in all, as far as is known now; the round with number rounds() - 1 is the last.
  virtual int rounds(const SearchState& state) const = 0;
  /// The round that comes next, or again the open one (when training has left something of its share).
  virtual RoundPlan plan(const SearchState& state, const Remaining& remaining) const = 0;
  /// The next batch of the open round, `programs_left` programs being left of its share and `live` subgraphs in use;
  /// nothing when none can be asked for now. Marks the subgraph as busy in the scheduler. The default asks the
  /// scheduler.
  virtual std::optional<BatchPlan> next_batch(const SearchState& state, TaskScheduler& scheduler, long programs_left,
                                              size_t live) const;
  /// The objectives by which networks are judged. Also what the search believes of the dropped ones.
  virtual std::vector<Objectives> estimates(const SearchState& state, const std::vector<size_t>& networks) const;
  /// One verdict for each member of the open round that can be trained; objectives[i] is the estimate of members[i].
  virtual std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                                     const std::vector<Objectives>& objectives) const = 0;
  /// The networks that the search returns.
  virtual std::vector<size_t> result(const SearchState& state) const { return state.alive(); }
  /// Which of the results are the answer, by their final objectives: the front.
  virtual std::vector<bool> answers(const std::vector<Objectives>& objectives, const PolicyOptions& options) const;
};

/// Throws UserError on a name or a setting that is not known, naming those that are.
std::unique_ptr<Algorithm> make_algorithm(const PolicyOptions& options);
/// "key=value" each. Throws UserError, which begins with `place`, on one that is not, and on a key that is given twice.
std::map<std::string, std::string> algorithm_settings(const std::vector<std::string>& texts, const std::string& place);
/// "pareto", "threshold", ...
const std::vector<std::string>& algorithm_names();

/// `count` of `networks` candidates, in order: a seeded sample; all when count >= networks.
std::vector<size_t> sample_candidates(size_t networks, size_t count, uint64_t seed, const std::string& stream);

}  // namespace sonar
