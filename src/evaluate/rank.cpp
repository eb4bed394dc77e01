// `sonar rank`: ranks, crowding distances and hypervolume of any table of points.
#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "evaluate/csv.h"
#include "policy/pareto.h"
#include "sonar/error.h"
#include "sonar/evaluate.h"

namespace sonar {

std::string rank_points(const std::string& file, const std::vector<std::string>& maximize,
                        const std::vector<double>& reference, bool json) {
  CsvReader csv(file);
  const size_t columns = csv.header().size();
  std::vector<bool> directions(columns);
  for (const std::string& name : maximize) directions[static_cast<size_t>(csv.needed_column(name))] = true;
  if (!reference.empty() && reference.size() != columns)
    throw UserError(fmt::format("--reference has {} values, but {} has {} columns; give one for each, in their order",
                                reference.size(), file, columns));
  Points points;
  while (csv.next()) {
    std::vector<double>& point = points.emplace_back(columns);
    for (size_t c = 0; c < columns; ++c) point[c] = csv.number(static_cast<int>(c));
  }
  if (points.empty()) throw UserError(file + ": holds no row of points below its header");

  const std::vector<int> ranks = non_dominated_ranks(points, directions);
  const std::vector<double> crowding = crowding_distances(points, ranks);
  std::vector<double> bound = reference;
  if (bound.empty()) {
    bound = points[0];
    for (const auto& point : points)
      for (size_t c = 0; c < columns; ++c)
        bound[c] = directions[c] ? std::min(bound[c], point[c]) : std::max(bound[c], point[c]);
  }
  Points front;  // what is dominated adds no volume
  for (size_t i = 0; i < points.size(); ++i)
    if (ranks[i] == 0) front.push_back(points[i]);
  const double volume = hypervolume(front, directions, bound);

  fmt::memory_buffer out;
  auto end = std::back_inserter(out);
  if (json) {
    fmt::format_to(end, "{{\"points\": [");
    for (size_t i = 0; i < points.size(); ++i) {
      fmt::format_to(end, FMT_COMPILE("{}{{\"row\": {}, \"rank\": {}, \"crowding\": "), i ? ",\n" : "\n", i + 1,
                     ranks[i]);
      if (std::isfinite(crowding[i]))
        fmt::format_to(end, FMT_COMPILE("{}}}"), crowding[i]);
      else
        fmt::format_to(end, "null}}");
    }
    fmt::format_to(end, "\n], \"front\": {}, \"hypervolume\": {}, \"reference\": [", front.size(), volume);
    for (size_t c = 0; c < columns; ++c) fmt::format_to(end, "{}{}", c ? ", " : "", bound[c]);
    fmt::format_to(end, "]}}");
  } else {
    fmt::format_to(end, "row,rank,crowding");
    for (size_t i = 0; i < points.size(); ++i)
      fmt::format_to(end, FMT_COMPILE("\n{},{},{}"), i + 1, ranks[i], crowding[i]);
    fmt::format_to(end, "\n# {} of {} points on the front, hypervolume {}", front.size(), points.size(), volume);
  }
  return fmt::to_string(out);
}

}  // namespace sonar
