// Numbers and texts as people read them. Private to report/.
#pragma once
#include <string>
#include <string_view>

namespace sonar {

/// Three significant digits: "812 µs", "1.23 ms", "2.10 s"; an en dash for what is not finite.
std::string latency_text(double us);
/// "71.4 %" of a fraction.
std::string percent_text(double fraction, int decimals = 1);
/// "45.2 s", "12 min 5 s", "3 h 12 min", "2 d 4 h".
std::string duration_text(double seconds);
/// "20,480".
std::string count_text(double count);
/// "56.3 M".
std::string magnitude_text(double value);
/// `decimals` behind the point; an en dash for what is not finite.
std::string fixed_text(double value, int decimals);
/// "1 network", "2 networks".
std::string plural(double count, std::string_view noun);
/// The last name of a path, "." included: what a person calls the run.
std::string folder_name(const std::string& path);

/// The text with bytes that are no UTF-8, and control characters other than tab and newline, replaced by U+FFFD.
std::string valid_utf8(std::string_view text);
/// The same, safe inside HTML text and quoted attributes.
std::string escape_html(std::string_view text);
/// At most `length` characters, then an ellipsis; newlines become spaces.
std::string shortened(std::string_view text, size_t length);
/// As shown in a terminal column: number of characters, not bytes.
size_t display_width(std::string_view text);

}  // namespace sonar
