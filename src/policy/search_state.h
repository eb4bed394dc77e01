// What a search knows at a moment: the one input of every decision. It holds what was told and nothing else, so telling
// the records again restores it, and a decision is a function of it (design 5.11).
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/subgraph.h"
#include "policy/halving.h"
#include "policy/survivors.h"

namespace sonar {

/// One validation of a network.
struct TrainingSample {
  long step = 0;        // optimiser steps done
  double accuracy = 0;  // validation accuracy, fraction 0..1
  double cost = 0;      // of the network's training from step 0 to here, as recorded (seconds)
  double images = 0;    // that the accuracy was measured on; 0: not known
};

/// The end of the default program or of a batch of one subgraph.
struct TuningSample {
  double programs = 0;                                       // tried so far, failures and the default included
  double best_us = std::numeric_limits<double>::infinity();  // best latency so far; infinity: no valid program yet
  double cost = 0;                                           // so far, as recorded (seconds)
};

struct NetworkState {
  std::string name;
  std::vector<std::pair<size_t, int>> subgraphs;  // index into SearchState::subgraphs, occurrences
  std::vector<double> features;                   // by SearchState::feature_names; NaN: not known

  std::vector<TrainingSample> curve;  // in order of step
  long steps = 0;                     // trained so far
  double cost = 0;                    // at `steps`
  double accuracy = 0;                // maximum of the curve
  double timed_step_cost = 0;         // one step, timed before any training; 0: not timed
  /// Of one optimiser step, as recorded: by the training so far, else as timed.
  double step_cost() const { return steps > 0 && cost > 0 ? cost / static_cast<double>(steps) : timed_step_cost; }
  std::optional<double> measured_us;  // of the network as a whole; replaces the sum of its subgraphs
  std::optional<double> proxy_ms;     // a number that stands for its latency, from outside (proxy-command)

  bool alive = true;    // false: a verdict has dropped it
  std::string failure;  // why it cannot be trained; empty: it can
};

struct SubgraphState {
  SubgraphKey key;
  double macs = 0;
  double default_us = std::numeric_limits<double>::infinity();  // of the default program
  double best_us = std::numeric_limits<double>::infinity();     // as of now; measuring again may raise it
  std::vector<TuningSample> curve;                              // in order of programs; [0] is the default program
  bool answered = false;                                        // its answer is known: nothing more is tried of it
};

/// What a round is to do. Shares are in the units of the ledgers.
struct RoundPlan {
  std::vector<size_t> members;             // S_k: the networks that are trained, and whose subgraphs are tuned
  std::vector<long> to_steps;              // of each member: optimiser steps to train it to, in all
  double train_share = 0, tune_share = 0;  // what the round may spend
};

struct PolicyOptions {
  std::string algorithm = "pareto";             // algorithm.cpp lists them
  std::map<std::string, std::string> settings;  // of that algorithm alone; unknown ones are refused
  double threshold_us = 0;                      // of "threshold"
  SurvivorRule survivors = SurvivorRule::paper;
  Share share = Share::steps;
  long full_steps = 1;          // optimiser steps of full training
  long minimum_slice = 10;      // steps: the least further training that teaches something
  long batch_programs = 64;     // beta: programs tried in a batch, at most
  long full_programs = 256;     // programs of a subgraph that count as tuned in full
  bool count_steps = false;     // the training ledger counts steps: each costs 1, whatever it took
  double peak_macs_per_us = 0;  // of the device, which no program exceeds; 0: not known
  uint64_t seed = 1;
};

struct SearchState {
  PolicyOptions options;
  std::vector<std::string> feature_names;
  std::vector<NetworkState> networks;  // S_0
  std::vector<SubgraphState> subgraphs;
  std::vector<RoundPlan> rounds;  // planned so far
  bool round_open = false;        // the last of them has not been decided yet

  /// Number of the round that is open, or else comes next; from 0.
  int round() const { return static_cast<int>(rounds.size()) - (round_open ? 1 : 0); }
  /// Networks that no verdict has dropped and that can be trained.
  std::vector<size_t> alive() const;
  /// Ledger units of one further optimiser step: by its own training so far, else as timed.
  double step_cost(size_t network) const;
  /// Multiply-accumulates of its subgraphs; 0: not known.
  double macs(size_t network) const;
  /// As measured as a whole, or the sum over occurrences of the best latencies; infinity without a valid program.
  double latency_us(size_t network) const;
  /// The sum of the best latencies, whatever was measured as a whole.
  double summed_us(size_t network) const;
  /// The sum of the default programs' latencies.
  double untuned_us(size_t network) const;
};

}  // namespace sonar
