// The files of a folder or of an archive, read in memory: nothing is ever unpacked to the paths that an archive names.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace sonar {

/// Names are relative and '/'-separated, without "." or empty parts. ".." and a leading "/" of an archive's names mean
/// nothing: names are only compared, never opened.
struct FileVisitor {
  std::function<void(const std::string& name)> folder;
  /// Called for every file; false: its bytes are not read.
  std::function<bool(const std::string& name)> wanted;
  std::function<void(const std::string& name, std::span<const uint8_t> bytes)> file;
  /// A wanted file that cannot be read while the others can.
  std::function<void(const std::string& name, const std::string& why)> unreadable;
};

/// Visits a folder (in the order of names, symbolic links followed) or an archive (tar, zip, 7z or cpio in any
/// compression that libarchive reads; in the archive's order, in one pass).
/// Throws UserError when the path is missing, is no archive, or the archive is cut short or damaged.
void visit_files(const std::string& path, const FileVisitor& visitor);

}  // namespace sonar
