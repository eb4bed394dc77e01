// The three kinds of exception, thrown only when the work asked for cannot go on.
#pragma once
#include <stdexcept>
#include <string>

namespace sonar {

/// The user's input is at fault (exit code 2). The message names the place and the remedy.
struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The machine is at fault: a missing compiler, a full disk, a read-only folder (exit code 3).
struct EnvironmentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// We are at fault (exit code 1).
struct InternalError : std::logic_error {
  using std::logic_error::logic_error;
};

}  // namespace sonar
