// The report's plots, each a complete <svg>, or a sentence that says why there is none. Private to report/.
#pragma once
#include <string>
#include <vector>

#include "report/report.h"

namespace sonar {

/// CSS class that carries a network's colour: the round that dropped it ("r3"), or "alive".
std::string colour_class(const NetworkView& view);
/// Definitions of the classes r1.. for light and dark pages: a ramp of one hue, early rounds pale.
std::string round_colours_css(int rounds);

/// Curves that a plot shows at most, each with a colour of its own (k1 .. k8).
inline constexpr size_t kSeries = 8;

std::string front_chart(const ReportData& data);
std::string learning_chart(const ReportData& data);
/// Best latency against programs tried, of the first kSeries subgraphs.
std::string subgraph_chart(const ReportData& data);
/// Sum of best latencies against all programs tried, of the first kSeries networks of `shown`.
std::string network_latency_chart(const ReportData& data, const std::vector<const NetworkView*>& shown);
std::string usage_chart(const ReportData& data);

}  // namespace sonar
