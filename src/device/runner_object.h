// The runner as the compiler of this build has made it, with RUNNER_FLAGS (CMakeLists.txt), carried inside the library:
// compiling it takes longer than everything else before the first measurement.
#pragma once
#include <string>
#include <string_view>

namespace sonar {

/// Bytes of an ELF object file.
std::string_view built_runner_object();

/// `compiler` (a command as in DeviceOptions) is the compiler of this build, by whatever name.
bool is_builds_compiler(const std::string& compiler);

}  // namespace sonar
