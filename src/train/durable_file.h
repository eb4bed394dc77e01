#pragma once
#include <string>
#include <string_view>

namespace sonar {

/// Writes to a temporary name beside `path`, flushes to the disk and renames: the file is there whole or not at all,
/// whenever the machine stops. Throws EnvironmentError naming the path, the cause and, on a full disk, the remedy.
void write_file_durably(const std::string& path, std::string_view bytes);

}  // namespace sonar
