// Reads CSV (RFC 4180: quoted fields, "" for a quote, line breaks within quotes) in one pass, a row at a time; gzip is
// undone on the way.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sonar {

class CsvReader {
 public:
  /// Opens the file and reads its header line. Throws UserError when there is none.
  explicit CsvReader(const std::string& path);
  ~CsvReader();

  const std::vector<std::string>& header() const { return header_; }
  /// Place of a column, or -1.
  int column(std::string_view name) const;
  /// Place of a column. Throws UserError naming the file and the columns there are.
  int needed_column(std::string_view name) const;

  /// The next row, whose fields are valid until the next call; false at the end. Lines without any character are passed
  /// over. Throws UserError on a row of another length than the header, and on a quote that does not end.
  bool next();
  std::string_view field(int column) const { return fields_[static_cast<size_t>(column)]; }
  /// The field as a finite number. Throws UserError naming file, line, column and text.
  double number(int column) const;
  /// "networks.csv:12": of the row last read.
  std::string place() const;
  /// Throws UserError "PLACE: text".
  [[noreturn]] void refuse(const std::string& text) const;

 private:
  bool next_record();
  bool fill();

  struct File;
  std::unique_ptr<File> file_;
  std::string path_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what was read and not used yet
  bool at_end_ = false;
  long line_ = 0, next_line_ = 1;
  std::vector<std::string> header_;
  std::vector<std::string_view> fields_;
};

/// A finite number, whole text; false otherwise.
bool parse_number(std::string_view text, double& value);
/// The field as it must stand in a file.
std::string csv_field(const std::string& text);

}  // namespace sonar
