// Domination, non-dominated sorting, crowding and hypervolume (paper section 3.2; design 5.7).
#pragma once
#include <vector>

namespace sonar {

/// points[i][j]: value of objective j of point i. maximize[j]: its direction. Values must be finite: NaN and infinities
/// throw UserError naming the row and column (both count from 1), as do rows of different lengths.
using Points = std::vector<std::vector<double>>;

/// Rank of each point, 0 = on the front. A point dominates another when it is no worse in all objectives and better in
/// one; equal points share a rank. O(n log n) for one and two objectives, O(m n^2) at worst otherwise.
std::vector<int> non_dominated_ranks(const Points& points, const std::vector<bool>& maximize);

/// NSGA-II crowding distance within each rank (Deb et al. 2002): per objective the gap between a point's two
/// neighbours over the range of its rank, summed; infinity at the two ends (equal values are taken in the order of the
/// points). O(m n log n).
std::vector<double> crowding_distances(const Points& points, const std::vector<int>& ranks);

/// Volume dominated by the points and bounded by `reference` (in the same directions). Points beyond the reference
/// count nothing. O(n log n) for two objectives, exact recursive slicing for more.
double hypervolume(const Points& points, const std::vector<bool>& maximize, const std::vector<double>& reference);

}  // namespace sonar
