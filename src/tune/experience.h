// What is known of all subgraphs on this target, shared by their tuners: every measured program as a training row of
// the cost models, and the best programs of each subgraph as starting points for its neighbours.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/measurement.h"
#include "program/program_space.h"
#include "tune/cost_model.h"

namespace sonar {

/// A program by the names of its knobs: what survives a change of shape, and of the space's order of knobs.
using NamedKnobs = std::vector<std::pair<std::string, int>>;

/// A function of the sequence of add() and correct() calls: a model is fitted to the first rows of its kind, how many
/// being a function of the count, so that the same records in the same order give the same models, whenever they are
/// asked for.
class Experience {
 public:
  /// A program measured for the first time. `earlier`: by a run before this one. Failures are rows too.
  void add(const ProgramSpace& space, const Knobs& knobs, const Outcome& outcome, bool earlier = false);
  /// A program measured once more: the models keep the first reading, transfer goes by the latest.
  void correct(const ProgramSpace& space, const Knobs& knobs, const Outcome& outcome);

  /// Predicted scores of programs of `space`, higher is faster, comparable within the subgraph only; empty while too
  /// little of its kind was measured.
  std::vector<float> predict(const ProgramSpace& space, const std::vector<Knobs>& programs);

  /// Up to n different legal programs for `space`, most promising first: the best ones of the nearest subgraphs of the
  /// same kind, projected onto it; those of its own from earlier runs come first and take half of the places.
  std::vector<Knobs> transferred(const ProgramSpace& space, size_t n) const;

  /// The number of rows that a model is fitted to when `rows` are known; 0: too few.
  static size_t fitted_rows(size_t rows);

 private:
  struct Kind {
    FeatureRows features;
    std::vector<size_t> subgraphs;   // of each row, by order of appearance
    std::vector<double> latency_us;  // infinity: failed
    std::map<SubgraphKey, size_t> subgraph_index;
    size_t fitted = 0;
    std::unique_ptr<CostModel> model;
  };
  struct Source {
    Subgraph subgraph;
    bool earlier = false;
    std::map<NamedKnobs, double> latencies;
    std::set<std::pair<double, NamedKnobs>> ranked;
  };
  std::map<SubgraphKind, Kind> kinds_;
  std::map<SubgraphKey, Source> sources_;
};

/// How unlike two subgraphs of one kind are as to which programs suit them; infinity between kinds.
double distance(const Subgraph& a, const Subgraph& b);

}  // namespace sonar
