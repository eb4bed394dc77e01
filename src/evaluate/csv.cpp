#include "evaluate/csv.h"

#include <fmt/format.h>
#include <zlib.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "model/error.h"

namespace sonar {
namespace {

constexpr size_t kChunk = 1 << 18;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

struct CsvReader::File {
  gzFile handle = nullptr;
  ~File() {
    if (handle) gzclose(handle);
  }
};

CsvReader::CsvReader(const std::string& path) : file_(std::make_unique<File>()), path_(path) {
  file_->handle = gzopen(path.c_str(), "rb");
  if (!file_->handle) throw UserError(path + ": cannot be read; is it there?");
  gzbuffer(file_->handle, kChunk);
  if (!next_record()) throw UserError(path + ": is empty; its first line must name the columns");
  for (std::string_view name : fields_) header_.emplace_back(trimmed(name));
  if (!header_.empty() && header_[0].rfind("\xef\xbb\xbf", 0) == 0) header_[0].erase(0, 3);  // byte order mark
  for (size_t i = 0; i < header_.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (header_[i] == header_[j]) refuse("column '" + header_[i] + "' stands there twice");
}

CsvReader::~CsvReader() = default;

int CsvReader::column(std::string_view name) const {
  for (size_t i = 0; i < header_.size(); ++i)
    if (header_[i] == name) return static_cast<int>(i);
  return -1;
}

int CsvReader::needed_column(std::string_view name) const {
  const int found = column(name);
  if (found >= 0) return found;
  std::string names;
  for (const std::string& other : header_) names += (names.empty() ? "" : ", ") + other;
  throw UserError(fmt::format("{}:1: there is no column '{}'; the columns are {}", path_, name, names));
}

std::string CsvReader::place() const { return fmt::format("{}:{}", path_, line_); }

void CsvReader::refuse(const std::string& text) const { throw UserError(place() + ": " + text); }

bool CsvReader::next() {
  do {
    if (!next_record()) return false;
  } while (fields_.size() == 1 && fields_[0].empty() && header_.size() > 1);
  if (fields_.size() != header_.size())
    refuse(fmt::format("{} fields, where the header names {} columns", fields_.size(), header_.size()));
  return true;
}

double CsvReader::number(int column) const {
  double value;
  if (!parse_number(field(column), value))
    refuse(fmt::format("'{}' in column {} is no finite number", field(column), header_[static_cast<size_t>(column)]));
  return value;
}

/// Reads on, behind what is not used yet; false at the end of the file.
bool CsvReader::fill() {
  if (at_end_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kChunk) buffer_.resize(std::max(2 * buffer_.size(), end_ + kChunk));
  const int count = gzread(file_->handle, buffer_.data() + end_, kChunk);
  int code = Z_OK;
  const char* why = gzerror(file_->handle, &code);
  if (count < 0 || (code != Z_OK && code != Z_STREAM_END))
    throw UserError(fmt::format("{}: cannot be read to its end ({})", path_, why));
  end_ += static_cast<size_t>(count);
  at_end_ = count == 0;
  return count > 0;
}

bool CsvReader::next_record() {
  line_ = next_line_;
  fields_.clear();
  // The end of the record first, since reading on moves the buffer; only a quote makes a line break part of a field.
  size_t length = 0;
  bool quoted = false, any_quote = false;
  for (;;) {
    const char* from = buffer_.data() + begin_ + length;
    const char* to = buffer_.data() + end_;
    if (!quoted && !any_quote) {  // the usual case
      const auto* stop = static_cast<const char*>(std::memchr(from, '\n', static_cast<size_t>(to - from)));
      const char* until = stop ? stop : to;
      if (!std::memchr(from, '"', static_cast<size_t>(until - from))) {
        length = static_cast<size_t>(until - (buffer_.data() + begin_));
        if (stop) break;
        if (!fill()) break;
        continue;
      }
      any_quote = true;
    }
    bool ended = false;
    for (; from < to; ++from, ++length) {
      if (*from == '"') quoted = !quoted;
      if (*from != '\n') continue;
      if (quoted) {
        ++next_line_;
        continue;
      }
      ended = true;
      break;
    }
    if (ended) break;
    if (!fill()) break;
  }
  if (at_end_ && begin_ + length >= end_ && length == 0) return false;
  if (quoted) refuse("a quote begins here that does not end");
  ++next_line_;
  char* text = buffer_.data() + begin_;
  char* end = text + length;
  begin_ = std::min(end_, begin_ + length + 1);
  if (end > text && end[-1] == '\r') --end;
  if (!any_quote) {
    for (char* start = text;;) {
      auto* comma = static_cast<char*>(std::memchr(start, ',', static_cast<size_t>(end - start)));
      char* stop = comma ? comma : end;
      fields_.emplace_back(start, static_cast<size_t>(stop - start));
      if (!comma) return true;
      start = comma + 1;
    }
  }
  for (char* at = text;;) {  // unquoted in place
    char *start = at, *out = at;
    if (at < end && *at == '"') {
      start = out = ++at;
      for (; at < end; ++at) {
        if (*at == '"') {
          if (at + 1 < end && at[1] == '"')
            ++at;
          else
            break;
        }
        *out++ = *at;
      }
      if (at < end) ++at;
      if (at < end && *at != ',') refuse("after a quoted field there is more text; double the quotes inside a field");
    } else {
      while (at < end && *at != ',') {
        if (*at == '"') refuse("a quote stands inside a field that does not begin with one");
        ++at;
      }
      out = at;
    }
    fields_.emplace_back(start, static_cast<size_t>(out - start));
    if (at >= end) return true;
    ++at;
  }
}

bool parse_number(std::string_view text, double& value) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && std::isfinite(value);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace sonar
