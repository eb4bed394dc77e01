// Who carries jobs out: threads that drive the trainer processes, and one that compiles and measures. They take tasks,
// and post events to one queue; the coordinator alone reads it, decides, and writes the store (design 5.12).
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "records/run_store.h"
#include "search/program_measurer.h"
#include "search/trainer_client.h"
#include "sonar/config.h"

namespace sonar {

/// Seconds that a run has been at work, earlier processes included.
class ActiveClock {
 public:
  explicit ActiveClock(double before_s = 0) : before_s_(before_s), start_(std::chrono::steady_clock::now()) {}
  double now() const {
    return before_s_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  double before_s_;
  std::chrono::steady_clock::time_point start_;
};

struct TrainTask {
  enum class Kind { train, time, test } kind = Kind::train;
  TrainerClient::TrainRequest
      request;    // train: all of it; time: network and graph; test: job.to_step is the checkpoint
  int steps = 3;  // of `time`
};

struct MeasureTask {
  std::vector<MeasureJobRow> jobs;             // with ids
  std::vector<ProgramToMeasure> programs;      // what is left to measure of them
  std::vector<std::pair<size_t, int>> places;  // of each program: which job, and its index in the job's list
  double sampling_s = 0.03;
  // or a whole network:
  std::string network;
  std::vector<SubgraphUse> uses;
  std::vector<std::shared_ptr<const ProgramSpace>> spaces;
  std::vector<Knobs> knobs;
};

struct TrainProgress {
  size_t worker;
  std::string network;
  long step;
  double seconds;
};
struct TrainPointArrived {
  TrainPoint point;
};
struct TrainerRestarted {
  std::string why;
};
struct TrainFinished {
  TrainTask task;
  size_t worker = 0;
  double started_s = 0, ended_s = 0;
  double value = 0;  // time: seconds per step; test: accuracy
  std::exception_ptr error;
};
struct ProgramArrived {
  size_t job_index;
  int index;
  Outcome outcome;
  double compile_s;
  double elapsed_s;
  std::shared_ptr<MeasureTask> task;
};
struct MeasureFinished {
  std::shared_ptr<MeasureTask> task;
  double started_s = 0, ended_s = 0;
  std::optional<Outcome> network;  // of a whole network
  std::exception_ptr error;
};
using Event =
    std::variant<TrainProgress, TrainPointArrived, TrainerRestarted, TrainFinished, ProgramArrived, MeasureFinished>;

class EventQueue {
 public:
  void post(Event event);
  std::optional<Event> wait(double timeout_s);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
};

/// One trainer process for each of train.cores (cpu) or train.devices (CUDA). Constructing starts them and opens the
/// data set; the errors of that are thrown here.
class TrainExecutor {
 public:
  TrainExecutor(const Config& config, const ActiveClock& clock, EventQueue& events);
  ~TrainExecutor();
  size_t workers() const { return workers_.size(); }
  int core(size_t worker) const { return places_[worker].first; }
  const DataSummary& data() const { return data_; }
  void submit(TrainTask task);

 private:
  void work(size_t worker);
  TrainerClient& client(size_t worker);

  const Config& config_;
  const ActiveClock& clock_;
  EventQueue& events_;
  std::vector<std::pair<int, std::string>> places_;  // core (-1: any) and device of each worker
  std::vector<std::unique_ptr<TrainerClient>> clients_;
  DataSummary data_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<TrainTask> tasks_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

/// One thread, pinned to the cores of compiling and measuring.
class MeasureExecutor {
 public:
  MeasureExecutor(const std::vector<int>& cores, std::unique_ptr<Compiler> compiler, std::unique_ptr<Device> device,
                  bool overlap, const ActiveClock& clock, EventQueue& events);
  ~MeasureExecutor();
  void submit(MeasureTask task);

 private:
  void work();

  std::vector<int> cores_;
  std::unique_ptr<Compiler> compiler_;
  std::unique_ptr<Device> device_;
  ProgramMeasurer measurer_;
  const ActiveClock& clock_;
  EventQueue& events_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<MeasureTask>> tasks_;
  std::atomic<bool> stop_{false};
  std::thread worker_;
};

}  // namespace sonar
