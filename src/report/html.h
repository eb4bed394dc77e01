// Pieces of which pages are put together. Private to report/.
#pragma once
#include <string>
#include <vector>

namespace sonar {

inline constexpr const char* kNone = "–";

struct Column {
  std::string title;
  const char* classes = "";  // "n": a number, flush right
};

/// A table whose cells are HTML already.
class Table {
 public:
  Table(std::vector<Column> columns, const std::string& attributes);
  void row(const std::vector<std::string>& cells);
  std::string html(const char* wrapper = "scroll") const;

 private:
  std::vector<Column> columns_;
  std::string html_;
};

std::string section(const char* id, const char* title, const std::string& lead);
/// Kept on one line unless that would push a table off the page.
std::string name_html(const std::string& name);
std::string tile(const std::string& value, const std::string& text);

/// From the doctype to the opened body; the title is HTML already. Style and script travel inside.
std::string page_head(const std::string& title, const std::string& more_css);
/// From the end of main on; `source`: "from run.db".
std::string page_end(const std::string& source);

}  // namespace sonar
