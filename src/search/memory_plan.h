// Where a network's activations lie: in one arena, in which values that are never alive at once share memory.
#pragma once
#include <map>
#include <vector>

#include "graph/partition.h"

namespace sonar {

struct ValuePlace {
  long offset = 0, floats = 0;  // in the arena, float32 elements
  bool outside = false;         // an input of the network: its memory is nobody else's
};

/// Places values by size, the largest first, each as low as those that are alive together with it allow ("greedy by
/// size for offset calculation", Pisarchyk and Lee 2020). Little memory is needed, and it is used again soon: what a
/// value is written to has a chance to be in a cache still.
class MemoryPlan {
 public:
  explicit MemoryPlan(const std::vector<SubgraphUse>& uses);
  /// Of the value of that node.
  const ValuePlace& of(int value) const { return places_.at(value); }
  /// Size of the arena; inputs of the network come last.
  long floats() const { return floats_; }
  long floats_without_inputs() const { return floats_without_inputs_; }

 private:
  std::map<int, ValuePlace> places_;
  long floats_ = 0, floats_without_inputs_ = 0;
};

}  // namespace sonar
