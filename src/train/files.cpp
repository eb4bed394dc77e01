#include "train/files.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "model/error.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 32;                      // of folders: a cycle of symbolic links ends here
constexpr size_t kMaxFileBytes = size_t{1} << 30;  // of one file: larger ones are no images and no CIFAR-10 batch

std::string normalise(const std::string& name) {
  std::string result;
  size_t begin = 0;
  while (begin <= name.size()) {
    size_t end = std::min(name.find('/', begin), name.size());
    std::string part = name.substr(begin, end - begin);
    if (!part.empty() && part != ".") result += (result.empty() ? "" : "/") + part;
    begin = end + 1;
  }
  return result;
}

void visit_folder(const fs::path& folder, const std::string& prefix, int depth, const FileVisitor& visitor) {
  if (depth > kMaxDepth) {
    throw UserError(folder.string() + ": folders are nested more than " + std::to_string(kMaxDepth) +
                    " deep; is a symbolic link leading back up?");
  }
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) entries.push_back(*it);
  if (error) throw UserError(folder.string() + ": cannot list this folder: " + error.message());
  std::sort(entries.begin(), entries.end());

  std::vector<uint8_t> bytes;
  for (const fs::directory_entry& entry : entries) {
    const std::string name = prefix + entry.path().filename().string();
    if (entry.is_directory(error)) {
      visitor.folder(name);
      visit_folder(entry.path(), name + "/", depth + 1, visitor);
    } else if (visitor.wanted(name)) {
      const auto size = entry.is_regular_file(error) ? entry.file_size(error) : 0;
      std::ifstream in(entry.path(), std::ios::binary);
      if (error || !in || size > kMaxFileBytes) {
        visitor.unreadable(name, size > kMaxFileBytes ? "larger than 1 GiB" : "cannot be opened");
        continue;
      }
      bytes.resize(size);
      if (!in.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(size))) {
        visitor.unreadable(name, "cannot be read");
        continue;
      }
      visitor.file(name, bytes);
    }
  }
}

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveCloser>;

std::string error_text(archive* a) {
  const char* text = archive_error_string(a);
  return text ? text : "unknown error";
}

UserError damaged(const std::string& path, archive* a) {
  return UserError(path + ": this archive is cut short or damaged (" + error_text(a) +
                   "); fetch it again, or compare its size and checksum with the source's");
}

/// libarchive takes the end of an uncompressed tar for its end of archive, so a cut between two members would go
/// unnoticed. A whole tar ends in zero blocks.
void check_tar_end(const std::string& path, archive* a) {
  if ((archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR || archive_filter_count(a) > 1) return;
  std::ifstream in(path, std::ios::binary);
  char block[512] = {1};
  in.seekg(-512, std::ios::end);
  if (!in.read(block, sizeof block)) return;
  if (!std::all_of(std::begin(block), std::end(block), [](char c) { return c == 0; })) {
    throw UserError(path + ": this archive is cut short (the tar's end mark is missing); fetch it again");
  }
}

bool starts_as_zip(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char mark[4] = {};
  in.read(mark, sizeof mark);
  return std::string_view(mark, sizeof mark) == std::string_view("PK\3\4", 4);
}

/// False when this file alone is damaged; throws when the archive is.
bool read_entry(const std::string& path, archive* a, archive_entry* entry, std::vector<uint8_t>& bytes,
                std::string& why) {
  bytes.clear();
  if (archive_entry_size_is_set(entry)) {
    if (archive_entry_size(entry) > la_int64_t(kMaxFileBytes)) return why = "larger than 1 GiB", false;
    bytes.reserve(size_t(archive_entry_size(entry)));
  }
  for (;;) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(a, &block, &size, &offset);
    if (status == ARCHIVE_EOF) return true;
    if (status == ARCHIVE_FATAL) throw damaged(path, a);
    if (status != ARCHIVE_OK) return why = error_text(a), false;
    if (size_t(offset) + size > kMaxFileBytes) return why = "larger than 1 GiB", false;
    bytes.resize(std::max(bytes.size(), size_t(offset) + size));  // a gap in a sparse file reads as zeros
    std::copy_n(static_cast<const uint8_t*>(block), size, bytes.begin() + offset);
  }
}

void visit_archive(const std::string& path, const FileVisitor& visitor) {
  ArchivePtr a(archive_read_new());
  archive_read_support_filter_all(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_zip_seekable(a.get());  // by its directory at the end: a cut is always seen
  archive_read_support_format_7zip(a.get());
  archive_read_support_format_cpio(a.get());
  if (archive_read_open_filename(a.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) {
    throw UserError(path + ": cannot be read as an archive (" + error_text(a.get()) +
                    "); expected a folder, or a tar or zip archive, of images");
  }
  std::vector<uint8_t> bytes;
  bool any = false;
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status == ARCHIVE_FATAL || status == ARCHIVE_FAILED || status == ARCHIVE_RETRY) {
      if (any || starts_as_zip(path)) throw damaged(path, a.get());
      throw UserError(path + ": is no whole archive (" + error_text(a.get()) +
                      "); expected a folder, or a tar or zip archive, of images");
    }
    any = true;
    const char* raw = archive_entry_pathname_utf8(entry);
    if (!raw) raw = archive_entry_pathname(entry);  // a name in no known encoding: taken byte by byte
    const std::string name = normalise(raw ? raw : "");
    if (name.empty()) continue;
    if (archive_entry_filetype(entry) == AE_IFDIR) {
      visitor.folder(name);
    } else if (archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry) && visitor.wanted(name)) {
      std::string why;
      if (read_entry(path, a.get(), entry, bytes, why)) {
        visitor.file(name, bytes);
      } else {
        visitor.unreadable(name, why);
      }
    }
  }
  check_tar_end(path, a.get());
}

}  // namespace

void visit_files(const std::string& path, const FileVisitor& visitor) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw UserError(path + ": no such file or folder (the data set's path)");
  if (fs::is_directory(status)) {
    visit_folder(path, "", 0, visitor);
  } else {
    visit_archive(path, visitor);
  }
}

}  // namespace sonar
