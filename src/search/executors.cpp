#include "search/executors.h"

#include <sched.h>

#include "model/error.h"

namespace sonar {
namespace {

/// A trainer that dies is started anew and continues from its last checkpoint; a job that kills it this often is given
/// up.
constexpr int kTrainerTries = 3;

void pin_this_thread(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core : cores) CPU_SET(core, &set);
  if (!cores.empty()) sched_setaffinity(0, sizeof set, &set);  // a core that is not there was refused before
}

}  // namespace

void EventQueue::post(Event event) {
  {
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  arrived_.notify_one();
}

std::optional<Event> EventQueue::wait(double timeout_s) {
  std::unique_lock lock(mutex_);
  arrived_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return !events_.empty(); });
  if (events_.empty()) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

TrainExecutor::TrainExecutor(const Config& config, const ActiveClock& clock, EventQueue& events)
    : config_(config), clock_(clock), events_(events) {
  for (const std::string& device : config.train.devices) {
    if (device != "cpu") {
      places_.emplace_back(-1, device);
      continue;
    }
    for (int64_t core : config.train.cores) places_.emplace_back(static_cast<int>(core), device);
  }
  clients_.resize(places_.size());
  // The first opens alone so that a bad data set is reported once; the others load it side by side.
  data_ = client(0).data();
  for (size_t i = 0; i < places_.size(); ++i) workers_.emplace_back([this, i] { work(i); });
}

TrainExecutor::~TrainExecutor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void TrainExecutor::submit(TrainTask task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

TrainerClient& TrainExecutor::client(size_t worker) {
  if (!clients_[worker])
    clients_[worker] = std::make_unique<TrainerClient>(config_, places_[worker].first, places_[worker].second, &stop_);
  return *clients_[worker];
}

void TrainExecutor::work(size_t worker) {
  for (;;) {
    TrainTask task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    TrainFinished finished;
    finished.worker = worker;
    finished.started_s = clock_.now();
    const auto& request = task.request;
    for (int attempt = 1;; ++attempt) {
      try {
        TrainerClient& trainer = client(worker);
        switch (task.kind) {
          case TrainTask::Kind::train:
            trainer.train(
                request,
                [&](long step, double seconds) {
                  events_.post(TrainProgress{worker, request.job.network, step, seconds});
                },
                [&](const TrainPoint& point) { events_.post(TrainPointArrived{point}); });
            break;
          case TrainTask::Kind::time:
            finished.value = trainer.seconds_per_step(request.job.network, request.graph_json, task.steps);
            break;
          case TrainTask::Kind::test:
            finished.value =
                trainer.accuracy(request.job.network, request.graph_json, request.folder, request.job.to_step, "test");
            break;
        }
      } catch (const Stopped&) {
        return;
      } catch (const TrainerGone& gone) {
        clients_[worker].reset();
        events_.post(TrainerRestarted{std::string(gone.what()) + " while it worked on " + request.job.network});
        if (attempt < kTrainerTries) continue;
        finished.error = std::current_exception();
      } catch (...) {
        finished.error = std::current_exception();
      }
      break;
    }
    finished.task = std::move(task);
    finished.ended_s = clock_.now();
    events_.post(std::move(finished));
  }
}

MeasureExecutor::MeasureExecutor(const std::vector<int>& cores, std::unique_ptr<Compiler> compiler,
                                 std::unique_ptr<Device> device, bool overlap, const ActiveClock& clock,
                                 EventQueue& events)
    : cores_(cores),
      compiler_(std::move(compiler)),
      device_(std::move(device)),
      measurer_(*compiler_, *device_, overlap),
      clock_(clock),
      events_(events),
      worker_([this] { work(); }) {}

MeasureExecutor::~MeasureExecutor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  worker_.join();
}

void MeasureExecutor::submit(MeasureTask task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::make_shared<MeasureTask>(std::move(task)));
  }
  wake_.notify_one();
}

void MeasureExecutor::work() {
  pin_this_thread(cores_);
  for (;;) {
    std::shared_ptr<MeasureTask> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    MeasureFinished finished;
    finished.task = task;
    finished.started_s = clock_.now();
    try {
      if (!task->network.empty()) {
        finished.network = measurer_.measure_network(task->uses, task->spaces, task->knobs);
      } else {
        measurer_.measure(
            task->programs, task->sampling_s,
            [&](size_t i, const Outcome& outcome, double compile_s) {
              const auto [job, index] = task->places[i];
              events_.post(ProgramArrived{job, index, outcome, compile_s, clock_.now(), task});
            },
            &stop_);
      }
    } catch (...) {
      finished.error = std::current_exception();
    }
    if (stop_) return;
    finished.ended_s = clock_.now();
    events_.post(std::move(finished));
  }
}

}  // namespace sonar
