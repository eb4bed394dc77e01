#include "report/wording.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sonar {
namespace {

TEST(Wording, LatenciesHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(latency_text(0.1234), "0.12 µs");
  EXPECT_EQ(latency_text(9.996), "10.0 µs");
  EXPECT_EQ(latency_text(812.4), "812 µs");
  EXPECT_EQ(latency_text(999.6), "1.00 ms");
  EXPECT_EQ(latency_text(12345), "12.3 ms");
  EXPECT_EQ(latency_text(2.1e6), "2.10 s");
  EXPECT_EQ(latency_text(INFINITY), "–");
  EXPECT_EQ(latency_text(std::nan("")), "–");
}

TEST(Wording, DurationsAndCounts) {
  EXPECT_EQ(duration_text(0), "0.00 s");
  EXPECT_EQ(duration_text(45.21), "45.2 s");
  EXPECT_EQ(duration_text(725), "12 min 5 s");
  EXPECT_EQ(duration_text(3 * 3600 + 12 * 60 + 5), "3 h 12 min");
  EXPECT_EQ(duration_text(52 * 3600), "2 d 4 h");
  EXPECT_EQ(duration_text(-1), "–");
  EXPECT_EQ(duration_text(INFINITY), "–");
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(-1234567), "-1,234,567");
  EXPECT_EQ(plural(1, "core"), "1 core");
  EXPECT_EQ(plural(2048, "core"), "2,048 cores");
  EXPECT_EQ(magnitude_text(56.31e6), "56.3 M");
  EXPECT_EQ(magnitude_text(999.9e3), "1.00 M");
  EXPECT_EQ(magnitude_text(12), "12");
}

TEST(Wording, HtmlIsEscapedAndAlwaysUtf8) {
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_html("µs ≤ 🙂\n"), "µs ≤ 🙂\n");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(valid_utf8("a\xff"
                       "b"),
            "a" + bad + "b");
  EXPECT_EQ(valid_utf8("\xc0\xaf"), bad + bad) << "overlong";
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), bad + bad + bad) << "surrogate";
  EXPECT_EQ(valid_utf8("\xe2\x82"), bad + bad) << "cut";
  EXPECT_EQ(valid_utf8(std::string_view("a\0b\x1b", 4)), "a" + bad + "b" + bad);
}

TEST(Wording, ShorteningCountsCharacters) {
  EXPECT_EQ(shortened("µµµµ", 4), "µµµµ");
  EXPECT_EQ(shortened("µµµµµ", 4), "µµµµ…");
  EXPECT_EQ(shortened("a\nb", 9), "a b");
  EXPECT_EQ(display_width("12 µs"), 5u);
  EXPECT_EQ(folder_name("/a/b/run 7/"), "run 7");
}

}  // namespace
}  // namespace sonar
