// Starts a child process: all that happens between the wish and exec.
#pragma once
#include "process/descriptor.h"
#include "process/process.h"

namespace sonar {

struct Spawned {
  int pid = -1;
  Descriptor exited;        // pidfd: readable once the child has ended
  Descriptor in, out, err;  // our ends of its pipes, not blocking; err is closed unless it was asked for
};

/// Starts options.command in a process group of its own, so that the terminal's Ctrl-C does not reach it, with every
/// other descriptor of ours closed, and killed by the kernel when this process ends, however it ends.
/// `capture_stderr` is ignored when options.stderr_path is set. Throws EnvironmentError when it cannot be started.
///
/// Threads: callable from any. PR_SET_PDEATHSIG is tied to the *thread* that forks, so all children are forked by one
/// thread that lives as long as this process. A process that was itself forked without exec must not call this.
Spawned spawn(const ProcessOptions& options, bool capture_stderr);

}  // namespace sonar
