// Who carries jobs out: threads that drive the trainer processes, and those that compile and measure. They take tasks,
// and post events to one queue; the coordinator alone reads it, decides, and writes the store (design 5.12).
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
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

/// One measuring job, or what is left of it.
struct MeasureTask {
  MeasureJobRow job;        // with its id
  std::vector<int> places;  // of each program: its index in the job's list
  std::vector<ProgramToMeasure> programs;
};

struct NetworkTask {
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
/// A trainer or an outside tuner.
struct ProcessRestarted {
  std::string why;
};
/// What an outside tuner has to say for people.
struct TunerNote {
  std::string text;
};
struct TrainFinished {
  TrainTask task;
  size_t worker = 0;
  double started_s = 0, ended_s = 0;
  double value = 0;  // time: seconds per step; test: accuracy
  std::exception_ptr error;
};
struct ProgramArrived {
  std::shared_ptr<const MeasureTask> task;
  int index;  // in the job's list
  Outcome outcome;
  double compile_s;
  double elapsed_s;
};
/// The device was busy with programs, or with a network.
struct DeviceUsed {
  double started_s = 0, ended_s = 0;
  std::string what;
};
struct NetworkArrived {
  std::string network;
  Outcome outcome;
};
struct MeasuringFailed {
  std::exception_ptr error;
};
using Event = std::variant<TrainProgress, TrainPointArrived, ProcessRestarted, TunerNote, TrainFinished, ProgramArrived,
                           DeviceUsed, NetworkArrived, MeasuringFailed>;

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

/// Carries out measuring jobs, and posts what becomes of them.
class MeasureExecutor {
 public:
  virtual ~MeasureExecutor() = default;
  virtual void submit(MeasureTask task) = 0;
  virtual void submit(NetworkTask task) = 0;
  /// Held by the coordinator while it works, where it shares cores with programs that are timed.
  virtual CoreClaims& claims() = 0;
  /// Programs that keep every stage busy: no more batches are asked for while so many are out.
  virtual long busy_programs() const = 0;
  virtual bool measures_again() const = 0;     // programs that were measured before
  virtual bool measures_networks() const = 0;  // as a whole
};

/// Compiles and measures, programs of all jobs in one stream, and whole networks beside them.
class ProgramExecutor : public MeasureExecutor {
 public:
  ProgramExecutor(std::unique_ptr<Compiler> compiler, std::unique_ptr<Device> device, const MeasuringCores& cores,
                  const ActiveClock& clock, EventQueue& events);
  ~ProgramExecutor() override;
  void submit(MeasureTask task) override;
  void submit(NetworkTask task) override;
  CoreClaims& claims() override { return measurer_.claims(); }
  long busy_programs() const override { return static_cast<long>(ProgramMeasurer::kBusy); }
  bool measures_again() const override { return true; }
  bool measures_networks() const override { return true; }

 private:
  void arrived(ProgramMeasurer::Chunk chunk);
  void measure_networks();

  MeasuringCores cores_;
  std::unique_ptr<Compiler> compiler_;
  std::unique_ptr<Device> device_;
  const ActiveClock& clock_;
  EventQueue& events_;
  std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::map<long, std::pair<std::shared_ptr<const MeasureTask>, size_t>> out_;  // by ticket: the task, the program in it
  long next_ticket_ = 0;
  double busy_since_s_ = 0;  // when the device's work began that was not told yet
  std::deque<NetworkTask> networks_;
  bool stop_ = false;
  ProgramMeasurer measurer_;
  std::thread network_worker_;
};

}  // namespace sonar
