// Object files that are likely to be linked again: compiling one takes longer than timing it.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/knobs.h"
#include "model/subgraph.h"

namespace sonar {

/// One compiled program; the file goes with its last owner.
struct ObjectFile {
  std::string path, function;  // the C symbol in it

  ObjectFile(std::string path_, std::string function_) : path(std::move(path_)), function(std::move(function_)) {}
  ~ObjectFile();
  ObjectFile(const ObjectFile&) = delete;
  ObjectFile& operator=(const ObjectFile&) = delete;
};
using SharedObject = std::shared_ptr<const ObjectFile>;

/// Of each subgraph the program that was measured first, which is its default program in a run, and the two that are
/// the fastest: the contenders, which are measured again at the end, and what whole networks are made of. Callable from
/// any thread.
class KeptObjects {
 public:
  /// `most_bytes`: of all files together; what would go beyond is not kept.
  explicit KeptObjects(size_t most_bytes = size_t{128} << 20) : most_bytes_(most_bytes) {}

  /// Null: it is not kept.
  SharedObject find(const SubgraphKey& subgraph, const Knobs& knobs) const;
  /// A program was measured, perhaps once more.
  void offer(const SubgraphKey& subgraph, const Knobs& knobs, const SharedObject& object, double median_us);

 private:
  struct Kept {
    Knobs knobs;
    SharedObject object;
    double median_us = 0;
    size_t bytes = 0;
  };
  size_t most_bytes_, bytes_ = 0;
  mutable std::mutex mutex_;
  std::map<SubgraphKey, std::vector<Kept>> kept_;  // the first measured, then the fastest, in rising order
};

}  // namespace sonar
