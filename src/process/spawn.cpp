#include "process/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "model/error.h"

namespace sonar {
namespace {

struct WorkQueue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::packaged_task<void()>> tasks;
};

std::shared_ptr<WorkQueue> start_spawner_thread() {
  auto queue = std::make_shared<WorkQueue>();
  // The thread inherits a full mask: no handler of the application runs in it, nor in a child before its exec.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([queue] {
    pthread_setname_np(pthread_self(), "sonar-spawner");
    for (;;) {
      std::unique_lock lock(queue->mutex);
      queue->changed.wait(lock, [&] { return !queue->tasks.empty(); });
      auto task = std::move(queue->tasks.front());
      queue->tasks.pop_front();
      lock.unlock();
      task();
    }
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return queue;
}

void on_spawner_thread(const std::function<void()>& work) {
  static const std::shared_ptr<WorkQueue> queue = start_spawner_thread();
  std::packaged_task<void()> task(work);
  std::future<void> finished = task.get_future();
  {
    std::lock_guard lock(queue->mutex);
    queue->tasks.push_back(std::move(task));
  }
  queue->changed.notify_one();
  finished.get();
}

enum class Step { none, parent_gone, redirect, memory_limit, cpu_limit, pin, exec };

// What the child needs, all made before the fork: after vfork the child may neither allocate nor lock. It shares our
// memory until its exec, so it reports failure by writing to the two volatile fields.
struct Plan {
  const char* path = nullptr;
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  int in = -1, out = -1, err = -1;  // err < 0: inherited
  rlim_t memory_bytes = 0, cpu_seconds = 0;
  const cpu_set_t* cores = nullptr;
  int niceness = 0;
  pid_t parent = 0;
  volatile Step failed = Step::none;
  volatile int error = 0;
};

bool limit(__rlimit_resource resource, rlim_t soft, rlim_t hard) {
  const rlimit value{soft, hard};
  return setrlimit(resource, &value) == 0;
}

void close_all_but_standard() {
  if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0) return;
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  for (rlim_t i = 3; i < files.rlim_cur; ++i) close(static_cast<int>(i));
}

[[noreturn]] void fail(Plan& plan, Step step) {
  plan.error = errno;
  plan.failed = step;
  _exit(127);
}

[[noreturn]] void become_child(Plan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above; then nobody would kill us.
  if (getppid() != plan.parent) fail(plan, Step::parent_gone);
  setpgid(0, 0);
  // Handlers first, then the mask: a pending signal must not run the application's handler here.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  if (dup2(plan.in, 0) < 0 || dup2(plan.out, 1) < 0) fail(plan, Step::redirect);
  if (plan.err >= 0 && dup2(plan.err, 2) < 0) fail(plan, Step::redirect);
  close_all_but_standard();

  limit(RLIMIT_CORE, 0, 0);
  if (plan.memory_bytes && !limit(RLIMIT_AS, plan.memory_bytes, plan.memory_bytes)) fail(plan, Step::memory_limit);
  // SIGXCPU at the soft limit, SIGKILL a second later for those that ignore it.
  if (plan.cpu_seconds && !limit(RLIMIT_CPU, plan.cpu_seconds, plan.cpu_seconds + 1)) fail(plan, Step::cpu_limit);
  if (plan.cores && sched_setaffinity(0, sizeof(cpu_set_t), plan.cores) != 0) fail(plan, Step::pin);
  // Raising priority needs a privilege that is no reason not to run.
  if (plan.niceness) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + plan.niceness);
  execve(plan.path, plan.arguments, plan.environment);
  fail(plan, Step::exec);
}

[[gnu::noinline]] pid_t fork_and_exec(Plan& plan) {
  // vfork, not fork: its cost does not grow with the memory of this process.
  const pid_t pid = vfork();
  if (pid == 0) become_child(plan);
  return pid;
}

struct Pipe {
  Descriptor read, write;
};

// Numbers below 3 are avoided so that redirecting one pipe cannot overwrite another.
Descriptor above_standard(Descriptor descriptor) {
  if (descriptor.get() > 2) return descriptor;
  return Descriptor(fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 3));
}

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw EnvironmentError(fmt::format("cannot make a pipe: {}", strerror(errno)));
  }
  return {above_standard(Descriptor(ends[0])), above_standard(Descriptor(ends[1]))};
}

void do_not_block(const Descriptor& descriptor) {
  fcntl(descriptor.get(), F_SETFL, fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::map<std::string, std::string> values;
  const auto add = [&](const std::string& entry) { values[entry.substr(0, entry.find('='))] = entry; };
  for (char** entry = environ; entry && *entry; ++entry) add(*entry);
  for (const std::string& entry : added) add(entry);
  std::vector<std::string> result;
  for (const auto& [name, entry] : values) result.push_back(entry);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

std::string find_in_path(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = getenv("PATH");
  const std::string folders = path ? path : "/usr/local/bin:/usr/bin:/bin";
  for (size_t begin = 0; begin <= folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string folder = end == begin ? "." : folders.substr(begin, end - begin);
    const std::string candidate = folder + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  throw EnvironmentError(fmt::format("{} not found in PATH; install it or give its full path", name));
}

std::string join(const std::vector<int>& numbers) { return fmt::format("{}", fmt::join(numbers, ",")); }

[[noreturn]] void throw_failure(const ProcessOptions& options, const std::string& path, Step step, int error) {
  const char* reason = strerror(error);
  switch (step) {
    case Step::exec:
      if (error == ENOENT) {
        throw EnvironmentError(
            fmt::format("{} not found, or the interpreter it names is missing; check the path", path));
      }
      throw EnvironmentError(fmt::format("{} cannot be executed: {}", path, reason));
    case Step::pin:
      throw EnvironmentError(
          fmt::format("cannot run {} on cores {}: {}; this process may use only some of the machine's {}", path,
                      join(options.cores), reason, sysconf(_SC_NPROCESSORS_CONF)));
    case Step::memory_limit:
      throw EnvironmentError(
          fmt::format("cannot limit the memory of {} to {} MB: {}", path, options.memory_limit_mb, reason));
    case Step::cpu_limit:
      throw EnvironmentError(
          fmt::format("cannot limit the CPU time of {} to {} s: {}", path, options.cpu_limit_s, reason));
    default:
      throw EnvironmentError(fmt::format("cannot start {}: {}", path, reason));
  }
}

}  // namespace

Spawned spawn(const ProcessOptions& options, bool capture_stderr) {
  if (options.command.empty()) throw InternalError("spawn: no command");
  const std::string path = find_in_path(options.command[0]);
  std::vector<std::string> arguments = options.command;
  std::vector<std::string> environment = merged_environment(options.environment);
  const std::vector<char*> argument_pointers = pointers(arguments), environment_pointers = pointers(environment);

  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (int core : options.cores) {
    if (core < 0 || core >= CPU_SETSIZE) throw_failure(options, path, Step::pin, EINVAL);
    CPU_SET(core, &cores);
  }

  Pipe in = make_pipe(), out = make_pipe(), err;
  if (!options.stderr_path.empty()) {
    err.write =
        above_standard(Descriptor(open(options.stderr_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)));
    if (!err.write.open()) {
      throw EnvironmentError(fmt::format("cannot write {}: {}", options.stderr_path, strerror(errno)));
    }
  } else if (capture_stderr) {
    err = make_pipe();
  }

  Plan plan;
  plan.path = path.c_str();
  plan.arguments = argument_pointers.data();
  plan.environment = environment_pointers.data();
  plan.in = in.read.get();
  plan.out = out.write.get();
  plan.err = err.write.get();
  plan.memory_bytes = static_cast<rlim_t>(std::max(0L, options.memory_limit_mb)) << 20;
  plan.cpu_seconds = static_cast<rlim_t>(std::ceil(std::max(0.0, options.cpu_limit_s)));
  plan.cores = options.cores.empty() ? nullptr : &cores;
  plan.niceness = options.niceness;
  plan.parent = getpid();

  Spawned child;
  int fork_error = 0;
  on_spawner_thread([&] {
    child.pid = fork_and_exec(plan);
    fork_error = errno;
  });
  if (child.pid < 0) {
    throw EnvironmentError(
        fmt::format("cannot start {}: {}; too many processes, or no memory left", path, strerror(fork_error)));
  }
  if (plan.failed != Step::none) {
    waitpid(child.pid, nullptr, 0);
    throw_failure(options, path, plan.failed, plan.error);
  }
  child.exited = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  if (!child.exited.open()) {
    const int error = errno;
    kill(-child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
    throw EnvironmentError(fmt::format("cannot watch {}: {}; Linux 5.3 or later is needed", path, strerror(error)));
  }
  child.in = std::move(in.write);
  child.out = std::move(out.read);
  child.err = std::move(err.read);
  do_not_block(child.in);
  do_not_block(child.out);
  if (child.err.open()) do_not_block(child.err);
  return child;
}

}  // namespace sonar
