// Trains networks further, step by step, on one device. LibTorch stays behind this header.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "graph/graph.h"
#include "model/train.h"
#include "train/dataset.h"

namespace sonar {

struct TrainOptions {
  int batch = 64;
  double learning_rate = 0.1;  // at its peak, after the warm-up, for this batch size
  double momentum = 0.9;       // Nesterov's
  double weight_decay = 1e-4;  // not on biases and batch norm
  double label_smoothing = 0.1;
  double ema = 0;        // decay of the moving average of the weights that validates and is exported; 0: none
  int crop_padding = 4;  // pixels, at the data set's resolution
  bool flip = true;
  bool bf16 = false;               // convolutions and dense layers in bfloat16
  double checkpoint_seconds = 60;  // training time between intermediate checkpoints
  int threads = 1;                 // of LibTorch, on a CPU
};

struct TrainRequest {
  std::string network;
  Graph graph;
  long from_step = 0;  // points up to this one are known
  long to_step = 0;
  long full_steps = 0;  // length of the learning rate's schedule
  int val_images = 0;   // the first ones of the validation order; 0: all
  std::string folder;   // checkpoints of this network and no other
  /// Above 0: the first epoch is validated at its half, its quarter, ... too, down to one of at most so many steps.
  long first_validation = 0;

  /// Another network's checkpoint.
  struct Origin {
    Graph graph;
    std::string folder;
    long step = 0;
  };
  /// A network without a checkpoint takes the tensors of the same names and sizes from there. A residual block that the
  /// other lacks begins as the identity: its last batch norm's weights are 0.
  std::optional<Origin> origin = std::nullopt;
};

/// Mean seconds of one step and of its parts.
struct StepTime {
  double total = 0, render = 0, forward = 0, backward = 0, update = 0;
};

struct Evaluation {
  double accuracy = 0;
  int images = 0;
};

/// Not thread-safe. Every member throws UserError, EnvironmentError (disk, memory, CUDA) or InternalError and leaves
/// the trainer usable.
class Trainer {
 public:
  /// device: "cpu" or "cuda:N".
  Trainer(Dataset data, const TrainOptions& options, const std::string& device, uint64_t seed);
  ~Trainer();

  const Dataset& data() const;
  long steps_per_epoch() const;

  /// Continues from the newest usable checkpoint of at most to_step, which may be older than from_step (a kill came
  /// between an epoch's point and the next checkpoint), or from the start. Reports every point after from_step,
  /// recorded ones again, and `progress` (step, training seconds since step 0) about once a second. Points are the same
  /// from whichever checkpoint that was reached under the same full_steps, bit for bit, but for the seconds. A network
  /// whose loss stops being finite takes no further steps; its points report the accuracy that it has.
  void train(const TrainRequest& request, const std::function<void(const TrainPoint&)>& point,
             const std::function<void(long step, double seconds)>& progress);

  /// Times `steps` steps of a throw-away copy, after a warm-up.
  StepTime time_steps(const std::string& network, const Graph& graph, int steps);

  /// Accuracy at a checkpoint on the whole "test" or "val" part.
  Evaluation evaluate(const std::string& network, const Graph& graph, const std::string& folder, long step,
                      const std::string& part);

  /// Writes every tensor of a checkpoint to `path`: little-endian float32, in the order of parameter_sizes().
  void write_parameters(const Graph& graph, const std::string& folder, long step, const std::string& path);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sonar
