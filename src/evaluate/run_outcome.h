// What a real search did, to be judged by a truth.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "model/objectives.h"
#include "records/run_store.h"

namespace sonar {

struct RunOutcome {
  std::string algorithm;
  bool finished = false;
  double elapsed_s = 0;  // active run time
  std::optional<RecordIdentity> identity;

  struct Candidate {
    std::string name;
    double latency_us = 0;  // by the last reading of each of its programs; infinity: a subgraph has no valid one
  };
  std::vector<Candidate> candidates;

  /// One validation, in order of arrival.
  struct Validation {
    size_t candidate = 0;
    double accuracy = 0;             // best of this network so far
    double elapsed_s = 0;            // active run time
    double train_s = 0, tune_s = 0;  // recorded seconds of all training and all programs until then
  };
  std::vector<Validation> validations;
  double train_s = 0, tune_s = 0;  // in all

  struct Returned {
    size_t candidate = 0;
    Objectives objectives;  // as the run states them, or observed so far
    bool answer = false;    // on its front
  };
  /// Its results; while it has none, what its last decided round kept and has trained.
  std::vector<Returned> returned;
};

/// Reads a run directory. Throws UserError when it holds no run, or one that has not trained and measured.
RunOutcome read_outcome(const std::string& folder);

}  // namespace sonar
