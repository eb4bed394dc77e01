// Where a network's activations lie.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "device/device.h"
#include "graph/partition.h"

namespace sonar {

inline long floats_in(const BufferSpec& buffer) {
  long count = 1;
  for (int extent : buffer.extents) count *= extent;
  return count;
}

/// Programs read nothing of a buffer but where it is, so its shape may be any.
inline BufferSpec flat_buffer(long floats) {
  BufferSpec buffer;
  buffer.extents = {static_cast<int>(floats)};
  buffer.fill = BufferSpec::Fill::zero;
  return buffer;
}

/// The buffers that hold a network's values, used again once nobody reads what they hold, as a deployed network's
/// memory is: activations of one each would be cold when they are written, and the whole would be slower than its
/// parts.
class ValueBuffers {
 public:
  explicit ValueBuffers(const std::vector<SubgraphUse>& uses) {
    for (size_t i = 0; i < uses.size(); ++i)
      for (int value : {uses[i].input, uses[i].residual, uses[i].output}) last_use_[value] = i;
  }
  bool holds(int value) const { return of_.count(value) > 0; }
  int buffer(int value) const { return of_.at(value); }

  /// A buffer for a value that comes from outside; never used again.
  void keep(int value, BufferSpec buffer, std::vector<BufferSpec>& buffers) {
    of_[value] = static_cast<int>(buffers.size());
    buffers.push_back(std::move(buffer));
  }
  /// The smallest free buffer that is large enough, or else the largest one, which grows.
  void write(int value, const BufferSpec& buffer, std::vector<BufferSpec>& buffers) {
    int best = -1;
    for (int candidate : free_) {
      const long size = floats_in(buffers[candidate]), best_size = best < 0 ? 0 : floats_in(buffers[best]);
      const bool fits = size >= floats_in(buffer), best_fits = best_size >= floats_in(buffer);
      if (best < 0 || (fits != best_fits ? fits : fits ? size < best_size : size > best_size)) best = candidate;
    }
    if (best < 0) return keep(value, flat_buffer(floats_in(buffer)), buffers);
    free_.erase(best);
    if (floats_in(buffers[best]) < floats_in(buffer)) buffers[best] = flat_buffer(floats_in(buffer));
    of_[value] = best;
  }
  /// After the use-th subgraph: what it was the last to read is free.
  void end_use(const SubgraphUse& use, size_t index) {
    for (int value : {use.input, use.residual})
      if (written_.count(value) && last_use_.at(value) == index) free_.insert(of_.at(value));
    written_.insert(use.output);
  }

 private:
  std::map<int, size_t> last_use_;
  std::map<int, int> of_;
  std::set<int> free_, written_;
};

}  // namespace sonar
