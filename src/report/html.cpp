#include "report/html.h"

#include <fmt/format.h>

#include "assets.h"
#include "report/wording.h"

namespace sonar {

Table::Table(std::vector<Column> columns, const std::string& attributes) : columns_(std::move(columns)) {
  html_ = "<table " + attributes + "><thead><tr>";
  for (const Column& column : columns_) html_ += fmt::format("<th class=\"{}\">{}</th>", column.classes, column.title);
  html_ += "</tr></thead><tbody>";
}

void Table::row(const std::vector<std::string>& cells) {
  html_ += "<tr>";
  for (size_t i = 0; i < cells.size(); ++i)
    html_ += *columns_[i].classes ? fmt::format("<td class=\"{}\">{}</td>", columns_[i].classes, cells[i])
                                  : "<td>" + cells[i] + "</td>";
  html_ += "</tr>\n";
}

std::string Table::html(const char* wrapper) const {
  return fmt::format("<div class=\"{}\">{}</tbody></table></div>", wrapper, html_);
}

std::string section(const char* id, const char* title, const std::string& lead) {
  std::string html = fmt::format("<h2 id=\"{}\">{}</h2>", id, title);
  if (!lead.empty()) html += "<p class=\"lead\">" + lead + "</p>";
  return html;
}

std::string name_html(const std::string& name) {
  return fmt::format("<span class=\"name{}\">{}</span>", display_width(name) > 60 ? " long" : "", escape_html(name));
}

std::string tile(const std::string& value, const std::string& text) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>", value, text);
}

std::string page_head(const std::string& title, const std::string& more_css) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>" +
         title + "</title><style>" + kPageCss + more_css + "</style></head><body>\n";
}

std::string page_end(const std::string& source) {
  return "</main><footer>Made by SONAR " + source +
         ". The page stands alone: nothing is loaded from elsewhere.</footer><script>" + kPageJs +
         "</script></body></html>\n";
}

}  // namespace sonar
