#include "process/process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>

#include "model/error.h"
#include "process/spawn.h"

namespace sonar {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kept_output = 1 << 20;    // of stdout and of stderr
constexpr int kStopPollMs = 100;           // between looks at a stop flag
constexpr size_t longest_line = 64 << 20;  // a child that never ends its line must not eat our memory

// A point in time; `never` has none.
struct Deadline {
  bool never = false;
  Clock::time_point when;

  static Deadline in(double seconds) {
    return {false, Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))};
  }
  /// Milliseconds left for poll(): rounded up, so that a wait does not end early.
  int poll_ms() const {
    if (never) return -1;
    const double left = std::chrono::duration<double, std::milli>(when - Clock::now()).count();
    return static_cast<int>(std::ceil(std::clamp(left, 0.0, 1e9)));
  }
  bool over() const { return !never && Clock::now() >= when; }
};

// Keeps SIGPIPE from this thread while it lives. The signal of a failed write is directed at the writing thread, so no
// other thread and no process-wide handler is concerned.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    if (!was_pending_) {
      const timespec now{};
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_, before_;
  bool was_pending_;
};

enum class Transfer { some, nothing_now, closed };

/// Writes what the pipe takes of data from `offset` on.
Transfer write_some(const Descriptor& to, const std::string& data, size_t& offset) {
  const NoSigpipe guard;
  const ssize_t n = write(to.get(), data.data() + offset, data.size() - offset);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Transfer::nothing_now : Transfer::closed;
  offset += static_cast<size_t>(n);
  return Transfer::some;
}

Transfer read_some(const Descriptor& from, std::string& buffer) {
  char block[1 << 16];
  const ssize_t n = read(from.get(), block, sizeof block);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Transfer::nothing_now : Transfer::closed;
  if (n == 0) return Transfer::closed;
  buffer.append(block, static_cast<size_t>(n));
  return Transfer::some;
}

/// Reads one block, keeps the end of the text; closes the descriptor at its end. True when there may be more.
bool collect(Descriptor& from, std::string& kept) {
  if (!from.open()) return false;
  const Transfer transfer = read_some(from, kept);
  if (kept.size() > 2 * kept_output) kept.erase(0, kept.size() - kept_output);
  if (transfer == Transfer::closed) from.close();
  return transfer == Transfer::some;
}

/// What a dead group left in the pipe. Bounded, for a descendant that left the group may still be writing.
void collect_rest(Descriptor& from, std::string& kept) {
  for (int blocks = 0; blocks < 64 && collect(from, kept); ++blocks) {
  }
  if (kept.size() > kept_output) kept.erase(0, kept.size() - kept_output);
}

bool has_ended(int pid) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

/// Kills the whole group and reaps its leader. The leader is reaped last: while it is a zombie its number, which is
/// also the group's, cannot be given to another process.
ProcessResult kill_group_and_reap(int pid) {
  ::kill(-pid, SIGKILL);
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0) {
    if (errno != EINTR) {
      throw InternalError(fmt::format("cannot wait for process {}: {}; is SIGCHLD ignored?", pid, strerror(errno)));
    }
  }
  ProcessResult result;
  (info.si_code == CLD_EXITED ? result.exit_code : result.signal) = info.si_status;
  return result;
}

pollfd watch(const Descriptor& descriptor, short events) { return {descriptor.get(), events, 0}; }

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t newline = text.find_last_of('\n', end);
  const size_t begin = newline == std::string::npos ? 0 : newline + 1;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace

std::string ProcessResult::describe() const {
  std::string text;
  if (timed_out) {
    text = "timed out";
  } else if (signal > 0) {
    const char* name = sigdescr_np(signal);
    text = fmt::format("killed by signal {} ({})", signal, name ? name : "unknown");
  } else {
    text = fmt::format("exited with code {}", exit_code);
  }
  const std::string reason = last_line(err);
  return reason.empty() ? text : text + ": " + reason;
}

ProcessResult run_process(const ProcessOptions& options, const std::string& input, double timeout_s,
                          const std::atomic<bool>* stop) {
  Spawned child = spawn(options, true);
  const Deadline deadline = timeout_s > 0 ? Deadline::in(timeout_s) : Deadline{true, {}};
  std::string out, err;
  size_t written = 0;
  bool timed_out = false;
  for (;;) {
    if (written == input.size()) child.in.close();
    pollfd fds[] = {watch(child.exited, POLLIN), watch(child.out, POLLIN), watch(child.err, POLLIN),
                    watch(child.in, POLLOUT)};
    const int wait_ms = deadline.poll_ms();
    ::poll(fds, std::size(fds), stop && (wait_ms < 0 || wait_ms > kStopPollMs) ? kStopPollMs : wait_ms);
    collect(child.out, out);
    collect(child.err, err);
    if (child.in.open() && write_some(child.in, input, written) == Transfer::closed) written = input.size();
    if (has_ended(child.pid) || (stop && stop->load())) break;
    if (deadline.over()) {
      timed_out = true;
      break;
    }
  }
  ProcessResult result = kill_group_and_reap(child.pid);
  collect_rest(child.out, out);
  collect_rest(child.err, err);
  if (timed_out) result = ProcessResult{-1, 0, true, {}, {}};
  result.out = std::move(out);
  result.err = std::move(err);
  return result;
}

struct ChildProcess::State {
  Spawned child;
  std::string received;  // from `taken` on: not yet given out as lines
  size_t taken = 0;
  size_t searched = 0;  // no newline between `taken` and here
  std::optional<ProcessResult> end;

  ~State() {
    if (child.pid > 0 && !end) kill_group_and_reap(child.pid);
  }

  bool take_line(std::string& line) {
    const size_t newline = received.find('\n', searched);
    searched = newline == std::string::npos ? received.size() : newline + 1;
    if (newline == std::string::npos) return false;
    line.assign(received, taken, newline - taken);
    taken = searched;
    return true;
  }

  void receive() {
    received.erase(0, taken);
    searched -= taken;
    taken = 0;
    if (read_some(child.out, received) == Transfer::closed || received.size() > longest_line) child.out.close();
  }
};

ChildProcess::ChildProcess(const ProcessOptions& options) : state_(std::make_unique<State>()) {
  state_->child = spawn(options, false);
}

ChildProcess::~ChildProcess() = default;
ChildProcess::ChildProcess(ChildProcess&&) noexcept = default;
ChildProcess& ChildProcess::operator=(ChildProcess&&) noexcept = default;

bool ChildProcess::write_line(const std::string& line) {
  const std::string data = line + "\n";
  Descriptor& in = state_->child.in;
  for (size_t written = 0; written < data.size();) {
    if (!in.open()) return false;
    const Transfer transfer = write_some(in, data, written);
    if (transfer == Transfer::closed) in.close();
    if (transfer == Transfer::nothing_now) {
      // The child may itself be waiting for us to read, so its output is taken in meanwhile.
      pollfd fds[] = {watch(in, POLLOUT), watch(state_->child.out, POLLIN), watch(state_->child.exited, POLLIN)};
      ::poll(fds, std::size(fds), -1);
      if (fds[1].revents) state_->receive();
      if (fds[2].revents) in.close();
    }
  }
  return true;
}

ChildProcess::Read ChildProcess::read_line(std::string& line, double timeout_s) {
  const Deadline deadline = timeout_s < 0 ? Deadline{true, {}} : Deadline::in(timeout_s);
  for (;;) {
    if (state_->take_line(line)) return Read::line;
    if (!state_->child.out.open()) return Read::closed;
    pollfd fd = watch(state_->child.out, POLLIN);
    const int ready = ::poll(&fd, 1, deadline.poll_ms());
    if (ready > 0) state_->receive();
    if (ready == 0 && deadline.over()) return Read::timeout;
  }
}

ProcessResult ChildProcess::kill() {
  if (!state_->end) {
    state_->end = kill_group_and_reap(state_->child.pid);
    state_->child.in.close();
  }
  return *state_->end;
}

std::optional<ProcessResult> ChildProcess::poll() {
  if (!state_->end && !has_ended(state_->child.pid)) return std::nullopt;
  return kill();
}

int ChildProcess::pid() const { return state_->child.pid; }

}  // namespace sonar
