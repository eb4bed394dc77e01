#include "search/session_executor.h"

#include <algorithm>
#include <utility>

#include "model/error.h"

namespace sonar {
namespace {

/// A tuner that dies or hangs is started anew, which costs the trial that it was at; one that does so this often in a
/// row, without an answer between, ends the run.
constexpr int kMostDeaths = 3;

}  // namespace

SessionExecutor::SessionExecutor(const TunerSessionOptions& options, const ActiveClock& clock, EventQueue& events)
    : options_(options), clock_(clock), events_(events), session_(start()), identity_(session_->identity()) {
  worker_ = std::thread([this] { work(); });
}

SessionExecutor::~SessionExecutor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  worker_.join();
}

std::unique_ptr<TunerSession> SessionExecutor::start() {
  return std::make_unique<TunerSession>(options_, &stop_,
                                        [this](const std::string& text) { events_.post(TunerNote{text}); });
}

void SessionExecutor::submit(MeasureTask task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void SessionExecutor::submit(NetworkTask task) {
  throw InternalError("an outside tuner was asked to measure the whole of " + task.network);
}

void SessionExecutor::work() {
  for (;;) {
    std::shared_ptr<const MeasureTask> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      task = std::make_shared<const MeasureTask>(std::move(tasks_.front()));
      tasks_.pop_front();
    }
    try {
      carry_out(task);
    } catch (const Stopped&) {
      return;
    } catch (...) {
      events_.post(MeasuringFailed{std::current_exception()});
      return;
    }
  }
}

void SessionExecutor::carry_out(const std::shared_ptr<const MeasureTask>& task) {
  const Subgraph& subgraph = task->programs.front().space->subgraph();
  const bool again = task->job.purpose == MeasurePurpose::remeasure;
  std::vector<int> open;
  for (const ProgramToMeasure& program : task->programs) open.push_back(program.knobs.at(0));
  const std::vector<int> all = open;
  double since = clock_.now();
  const auto arrived = [&](TunerSession::Answer answer) {
    const auto place = static_cast<size_t>(std::find(all.begin(), all.end(), answer.trial) - all.begin());
    std::erase(open, answer.trial);
    const double now = clock_.now();
    events_.post(ProgramArrived{task, task->places[place], std::move(answer.outcome), answer.build_s, now});
    events_.post(DeviceUsed{std::exchange(since, now), now, task->job.subgraph});
  };
  const auto answered = [&](TunerSession::Answer answer) {
    deaths_ = 0;
    arrived(std::move(answer));
  };
  while (!open.empty()) {
    try {
      if (!session_) {
        session_ = start();
        if (session_->identity().name != identity_.name || session_->identity().target != identity_.target)
          throw EnvironmentError(
              "the tuner '" + options_.command + "' came back as another: " + session_->identity().name + ", " +
              session_->identity().target + "; run the same command with the tuner that the run began with");
      }
      if (again)
        session_->measure(subgraph, open, answered);
      else
        session_->tune(subgraph, open, task->programs.front().best_us, answered);
    } catch (const TunerGone& gone) {
      session_.reset();
      if (++deaths_ >= kMostDeaths)
        throw EnvironmentError(std::string(gone.what()) + ", while it worked on " + task->job.subgraph +
                               "; it was started anew " + std::to_string(kMostDeaths - 1) +
                               " times and gave no answer; its messages are in " + options_.log_path +
                               "; run the same command to continue: nothing measured is lost");
      events_.post(ProcessRestarted{std::string(gone.what()) + " while it worked on " + task->job.subgraph});
      if (!open.empty()) arrived({open.front(), MeasureError{gone.cause, gone.what()}, 0});
    }
  }
}

}  // namespace sonar
