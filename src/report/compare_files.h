// The tables of `sonar compare` as CSV, text and JSON. Private to report/; columns: docs/evaluation.md.
#pragma once
#include <string>
#include <vector>

#include "evaluate/compare.h"

namespace sonar {

std::string figure5_csv(const Comparison& comparison);
std::string figure6_csv(const Comparison& comparison);
std::string figure7_csv(const Comparison& comparison);
std::string table2_csv(const Comparison& comparison);
std::string searches_csv(const Comparison& comparison);

/// Both tables; `files`: what was written.
std::string comparison_text(const Comparison& comparison, const std::vector<std::string>& files);
std::string comparison_json(const Comparison& comparison, const std::vector<std::string>& files);

/// The page with all figures and tables.
std::string comparison_html(const Comparison& comparison);

/// Searches that figure 6 shows: of each algorithm the cheapest replay that was possible, and real runs.
std::vector<const ComparedSearch*> shown_in_figure6(const ComparedTruth& truth);
/// Tables as cells, headings first; what does not exist is an en dash, in Table 2 a star.
std::vector<std::vector<std::string>> search_cells(const ComparedTruth& truth);
std::vector<std::vector<std::string>> table2_cells(const Comparison& comparison);
/// What a reader must know of a truth and its searches.
std::vector<std::string> remarks(const ComparedTruth& truth);

}  // namespace sonar
