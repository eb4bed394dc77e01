#include "search/executors.h"

#include <set>
#include <utility>

#include "model/error.h"

namespace sonar {
namespace {

/// A trainer that dies is started anew and continues from its last checkpoint; a job that kills it this often is given
/// up.
constexpr int kTrainerTries = 3;

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
        events_.post(ProcessRestarted{std::string(gone.what()) + " while it worked on " + request.job.network});
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

ProgramExecutor::ProgramExecutor(std::unique_ptr<Compiler> compiler, std::unique_ptr<Device> device,
                                 const MeasuringCores& cores, const ActiveClock& clock, EventQueue& events)
    : cores_(cores),
      compiler_(std::move(compiler)),
      device_(std::move(device)),
      clock_(clock),
      events_(events),
      measurer_(*compiler_, *device_, cores, [this](ProgramMeasurer::Chunk chunk) { arrived(std::move(chunk)); }),
      network_worker_([this] { measure_networks(); }) {}

ProgramExecutor::~ProgramExecutor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  measurer_.claims().close();
  network_worker_.join();
}

void ProgramExecutor::submit(MeasureTask task) {
  const auto shared = std::make_shared<const MeasureTask>(std::move(task));
  std::lock_guard lock(mutex_);
  if (out_.empty()) busy_since_s_ = clock_.now();
  const long first = next_ticket_;
  for (size_t i = 0; i < shared->programs.size(); ++i) out_[next_ticket_++] = {shared, i};
  measurer_.submit(shared->programs, first);
}

void ProgramExecutor::submit(NetworkTask task) {
  {
    std::lock_guard lock(mutex_);
    networks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void ProgramExecutor::arrived(ProgramMeasurer::Chunk chunk) {
  if (chunk.error) {
    events_.post(MeasuringFailed{chunk.error});
    return;
  }
  const double now = clock_.now();
  DeviceUsed used;
  used.ended_s = now;
  std::set<SubgraphKey> subgraphs;
  std::vector<ProgramArrived> arrivals;
  {
    std::lock_guard lock(mutex_);
    used.started_s = std::exchange(busy_since_s_, now);
    for (auto& [ticket, result] : chunk.results) {
      const auto [task, program] = out_.at(ticket);
      out_.erase(ticket);
      subgraphs.insert(task->job.subgraph);
      arrivals.push_back({task, task->places[program], std::move(result.outcome), result.compile_s, now});
    }
  }
  used.what = subgraphs.size() == 1 ? *subgraphs.begin() : std::to_string(subgraphs.size()) + " subgraphs";
  for (ProgramArrived& arrival : arrivals) events_.post(std::move(arrival));
  events_.post(std::move(used));
}

void ProgramExecutor::measure_networks() {
  pin_this_thread(cores_.beside.empty() ? cores_.timing : cores_.beside);
  for (;;) {
    NetworkTask task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !networks_.empty(); });
      if (stop_) return;
      task = std::move(networks_.front());
      networks_.pop_front();
    }
    const double started = clock_.now();
    try {
      Outcome outcome = measurer_.measure_network(task.uses, task.spaces, task.knobs);
      events_.post(DeviceUsed{started, clock_.now(), "whole network " + task.network});
      events_.post(NetworkArrived{task.network, std::move(outcome)});
    } catch (...) {
      events_.post(MeasuringFailed{std::current_exception()});
    }
  }
}

}  // namespace sonar
