#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "device/batch_file.h"
#include "device/device.h"
#include "device/link.h"
#include "device/machine.h"
#include "model/error.h"
#include "process/process.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

constexpr double runner_patience_s = 15;  // beyond a case's own time limit: starting, forking, killing

// The files of one batch, removed at its end.
class BatchFiles {
 public:
  explicit BatchFiles(const std::string& folder) {
    static std::atomic<long> counter{0};
    prefix_ = fmt::format("{}/batch-{}-{}", folder, getpid(), counter++);
  }
  ~BatchFiles() {
    std::error_code ignored;
    for (const char* suffix : {"", ".c", ".a", ".data"}) fs::remove(prefix_ + suffix, ignored);
  }
  BatchFiles(const BatchFiles&) = delete;
  BatchFiles& operator=(const BatchFiles&) = delete;
  const std::string& prefix() const { return prefix_; }
  std::string data() const { return prefix_ + ".data"; }

 private:
  std::string prefix_;
};

// A process that was killed leaves its batch behind.
void remove_files_of_dead_processes(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::string start = "batch-";
    if (name.rfind(start, 0) != 0) continue;
    int pid = 0;
    std::from_chars(name.data() + start.size(), name.data() + name.size(), pid);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) fs::remove(entry.path(), ignored);
  }
}

/// "ok I RUNS STOPPED SAMPLE..." or "error I KIND MESSAGE"; nothing when it is neither.
std::optional<Outcome> parse_outcome(const std::string& line, size_t running) {
  std::istringstream words(line);
  std::string verdict;
  size_t number = 0;
  if (!(words >> verdict >> number) || number != running) return std::nullopt;
  if (verdict == "error") {
    int kind = 0;
    std::string message;
    if (!(words >> kind) || kind < 1 || kind > 7) return std::nullopt;
    std::getline(words >> std::ws, message);
    return MeasureError{static_cast<MeasureErrorKind>(kind), message};
  }
  long runs = 0;
  int stopped = 0;
  if (verdict != "ok" || !(words >> runs >> stopped)) return std::nullopt;
  std::vector<double> samples;
  for (double sample; words >> sample;) samples.push_back(sample);
  if (samples.empty() || !words.eof()) return std::nullopt;
  return summarize(std::move(samples), runs, stopped != 0);
}

class LocalDevice : public Device {
 public:
  explicit LocalDevice(const DeviceOptions& options) : options_(options), linker_(options) {
    std::error_code error;
    fs::create_directories(options_.work_folder, error);
    if (error || access(options_.work_folder.c_str(), W_OK) != 0) {
      throw EnvironmentError(fmt::format("cannot write the work folder {}: {}; choose another one",
                                         options_.work_folder, error ? error.message() : strerror(errno)));
    }
    remove_files_of_dead_processes(options_.work_folder);
  }

  std::vector<Outcome> measure(const Batch& batch, const std::function<void(size_t, const Outcome&)>& done,
                               const std::function<void()>& before_running) override;
  std::string description() const override { return machine_description(); }

 private:
  ProcessOptions runner_command(const BatchFiles& files, size_t first) const;

  DeviceOptions options_;
  RunnerLinker linker_;
};

ProcessOptions LocalDevice::runner_command(const BatchFiles& files, size_t first) const {
  ProcessOptions process;
  process.command = {fs::absolute(files.prefix()).string(), files.data(), std::to_string(first)};
  process.cores = options_.cores;
  process.cores.resize(std::min(process.cores.size(), static_cast<size_t>(std::max(1, options_.threads))));
  process.stderr_path = "/dev/null";
  return process;
}

// What is known of the cases of one batch while runners go through them. A runner that dies is started again from the
// case it was at; a case that two runners died of is given up.
class Progress {
 public:
  Progress(const Batch& batch, std::vector<size_t> cases, std::vector<Outcome>& outcomes,
           const std::function<void(size_t, const Outcome&)>& done)
      : batch_(batch), cases_(std::move(cases)), outcomes_(outcomes), done_(done) {}

  bool finished() const { return next_ == cases_.size(); }
  size_t next() const { return next_; }
  double time_limit_s() const { return finished() ? 0 : batch_.cases[cases_[next_]].time_limit_s; }

  void record(Outcome outcome) {
    const size_t i = cases_[next_++];
    deaths_ = 0;
    outcomes_[i] = std::move(outcome);
    if (done_) done_(i, outcomes_[i]);
  }

  void runner_died(bool started_a_case, const std::string& how) {
    if (++deaths_ < 2) return;
    if (started_a_case) {
      record(MeasureError{MeasureErrorKind::crash, "the runner died twice in this case: " + how});
      return;
    }
    while (!finished()) record(MeasureError{MeasureErrorKind::device_unreachable, "the runner does not start: " + how});
  }

 private:
  const Batch& batch_;
  std::vector<size_t> cases_;  // numbers in the batch, in the runner's order
  std::vector<Outcome>& outcomes_;
  const std::function<void(size_t, const Outcome&)>& done_;
  size_t next_ = 0;
  int deaths_ = 0;  // of runners since the last outcome
};

/// Follows one runner until it is through, dies, falls silent or talks nonsense.
void follow_runner(ChildProcess runner, Progress& progress) {
  bool started = false;
  std::string line, nonsense;
  for (;;) {
    const auto read = runner.read_line(line, progress.time_limit_s() + runner_patience_s);
    if (read == ChildProcess::Read::timeout && started) {
      progress.record(MeasureError{MeasureErrorKind::run_timeout, "the runner fell silent"});
      return;
    }
    if (read != ChildProcess::Read::line) break;
    if (line == "sonar-runner 1") continue;
    if (line == "end" && progress.finished()) return;
    if (!progress.finished() && line == fmt::format("start {}", progress.next())) {
      started = true;
      continue;
    }
    std::optional<Outcome> outcome;
    if (started) outcome = parse_outcome(line, progress.next());
    if (!outcome) {
      nonsense = line.rfind("fatal ", 0) == 0 ? line.substr(6) : "it said \"" + line.substr(0, 200) + "\"";
      break;
    }
    started = false;
    progress.record(std::move(*outcome));
  }
  const ProcessResult end = runner.kill();
  if (!progress.finished()) progress.runner_died(started, nonsense.empty() ? end.describe() : nonsense);
}

std::vector<Outcome> LocalDevice::measure(const Batch& batch, const std::function<void(size_t, const Outcome&)>& done,
                                          const std::function<void()>& before_running) {
  check_batch(batch);
  std::vector<Outcome> outcomes(batch.cases.size());
  if (batch.cases.empty()) return outcomes;

  const BatchFiles files(options_.work_folder);
  const Linked linked = linker_.link(batch.objects, batch.functions, files.prefix());
  std::vector<size_t> runnable;
  for (size_t i = 0; i < batch.cases.size(); ++i) {
    const auto& calls = batch.cases[i].calls;
    const auto bad =
        std::find_if(calls.begin(), calls.end(), [&](const CallSpec& c) { return linked.errors[c.function]; });
    if (bad == calls.end()) {
      runnable.push_back(i);
      continue;
    }
    outcomes[i] = MeasureError{MeasureErrorKind::link_error, *linked.errors[bad->function]};
    if (done) done(i, outcomes[i]);
  }

  const BatchText text = describe_batch(batch, runnable, options_.threads);
  std::vector<std::string_view> pieces = {text.text};
  pieces.insert(pieces.end(), text.values.begin(), text.values.end());
  write_file(files.data(), pieces);

  if (before_running) before_running();
  Progress progress(batch, runnable, outcomes, done);
  while (!progress.finished()) follow_runner(ChildProcess(runner_command(files, progress.next())), progress);
  return outcomes;
}

}  // namespace

std::unique_ptr<Device> make_local_device(const DeviceOptions& options) {
  return std::make_unique<LocalDevice>(options);
}

}  // namespace sonar
