// What every page must hold. Tests only.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>
#include <vector>

namespace sonar {

inline size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// Every tag is closed in order; the page asks for nothing from elsewhere; no number is none.
inline void expect_sound_page(const std::string& html) {
  static const std::set<std::string> kVoid = {"meta", "input", "br", "!doctype"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find_first_of(" >/", at + 2);
    const bool closing = html[at + 1] == '/';
    const std::string name = html.substr(at + 1 + closing, html.find_first_of(" >/", at + 2) - at - 1 - closing);
    ASSERT_NE(end, std::string::npos);
    const size_t close = html.find('>', at);
    ASSERT_NE(close, std::string::npos);
    if (closing) {
      ASSERT_FALSE(open.empty()) << name;
      ASSERT_EQ(open.back(), name) << html.substr(at > 200 ? at - 200 : 0, 260);
      open.pop_back();
    } else if (html[close - 1] != '/' && !kVoid.count(name)) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, close) - 1;
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("http:")));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("https:")));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("src=")));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("@import")));
  const std::string body = html.substr(html.find("<body>"), html.find("<script>") - html.find("<body>"));
  static const std::regex kNoNumber("[^a-zA-Z](nan|-?inf|NaN|Infinity)[^a-zA-Z]");
  std::smatch match;
  EXPECT_FALSE(std::regex_search(body, match, kNoNumber))
      << match.prefix().str().substr(std::max<long>(0, match.prefix().length() - 100)) << match.str();
}

}  // namespace sonar
