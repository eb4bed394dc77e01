// Which images a step trains on and how each is varied: a pure function of (seed, network, step), so that resuming
// needs no generator's state.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sonar {

struct Placement {
  int image = 0;                 // number in the data set
  int shift_y = 0, shift_x = 0;  // output (y, x) shows input (y + shift_y, x + shift_x); outside is the mean colour
  bool flip = false;             // mirrored left to right, before the shift
  bool operator==(const Placement&) const = default;
};

struct BatchOptions {
  int batch = 64;
  int crop_padding = 4;  // pixels that a crop may move in each direction
  bool flip = true;
};

/// The batches of one network. Every epoch is a fresh permutation of the training images; a last part batch is left
/// out.
class BatchStream {
 public:
  BatchStream(const std::vector<int>& images, const BatchOptions& options, uint64_t seed, const std::string& network);
  int batch() const { return batch_; }
  long steps_per_epoch() const { return long(images_.size()) / batch_; }
  /// The batch of optimiser step `step`, counted from 0. Cheap when steps are asked for in order.
  std::vector<Placement> at(long step);

 private:
  const std::vector<int>& images_;
  BatchOptions options_;
  uint64_t seed_;
  int batch_;
  long epoch_ = -1;
  std::vector<int> order_;  // of epoch_
};

/// Unvaried images, for validation.
std::vector<Placement> plain_batch(const std::vector<int>& images, size_t begin, size_t end);

}  // namespace sonar
