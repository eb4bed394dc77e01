// One trainer process (src/train/protocol.md), driven over JSON lines.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/train.h"
#include "process/process.h"
#include "sonar/config.h"

namespace sonar {

struct DataSummary {
  std::vector<std::string> classes, corrupt, notes;
  long train_images = 0, val_images = 0, test_images = 0, steps_per_epoch = 0;
};

/// The trainer process is gone: killed from outside, out of memory, crashed. The job can be given to a new one.
struct TrainerGone : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// `stop` was set while a request was under way.
struct Stopped : std::exception {};

/// Not thread-safe; one for each worker thread. Every member throws UserError, EnvironmentError or InternalError as the
/// trainer's answer says, TrainerGone when there is no answer, Stopped soon after *stop is set.
class TrainerClient {
 public:
  /// Starts the process (pinned to `core`, -1: not) and opens the data set.
  TrainerClient(const Config& config, int core, const std::string& device, const std::atomic<bool>* stop);

  const DataSummary& data() const { return data_; }

  struct TrainRequest {
    TrainJob job;
    std::string graph_json, folder;  // folder of the network's checkpoints
    long full_steps = 0;             // length of the learning rate's schedule
    long first_validation = 0;       // steps; above 0: the first epoch is validated at halves down to it
    struct Origin {                  // the checkpoint whose weights it starts from; no folder: none
      std::string graph_json, folder;
      long step = 0;
    } origin;
  };
  /// `progress(step, seconds)` and `point(p)` are called as they arrive.
  void train(const TrainRequest& request, const std::function<void(long, double)>& progress,
             const std::function<void(const TrainPoint&)>& point);
  /// Seconds of one optimiser step, from a throw-away copy.
  double seconds_per_step(const std::string& network, const std::string& graph_json, int steps);
  /// Accuracy at a checkpoint; split is "test" or "val".
  double accuracy(const std::string& network, const std::string& graph_json, const std::string& folder, long step,
                  const std::string& split);

 private:
  void send(const std::string& request);
  std::string receive();

  ChildProcess process_;
  const std::atomic<bool>* stop_;
  long next_id_ = 1;
  DataSummary data_;
};

}  // namespace sonar
