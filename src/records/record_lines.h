// Records as JSON lines: the form in which they travel between machines (docs/formats.md).
#pragma once
#include <functional>
#include <string>

#include "records/run_store.h"

namespace sonar {

inline constexpr int kRecordLineVersion = 1;
/// A line that is longer is bad, and is not held in memory.
inline constexpr size_t kLongestRecordLine = 4 << 20;

/// One record as one line, without its end. Numbers read back equal. Throws InternalError on a number that is not one.
std::string record_line(const LibraryRecord& record);

/// The inverse. Throws UserError saying what is wrong, without the place.
LibraryRecord parse_record_line(const std::string& line);

/// Reads a file of lines; blank ones are passed over. visit(line number from 1, record, what is wrong with the line or
/// ""). Throws UserError when the file is absent or no regular file, EnvironmentError when it cannot be read.
void read_record_lines(const std::string& path,
                       const std::function<void(long, LibraryRecord&, const std::string&)>& visit);

}  // namespace sonar
