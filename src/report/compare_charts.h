// The figures of `sonar compare`, each a complete <svg>, or a sentence that says why there is none. Private to report/.
#pragma once
#include <string>

#include "evaluate/compare.h"

namespace sonar {

/// Marks and curves of these figures, beside those of the page.
std::string compare_css();

/// Figure 5: all networks faint, the true front, and what the search returned (a replay: its first seed, at the final
/// values; a real run: at its own).
std::string returned_chart(const ComparedTruth& truth, const ComparedSearch& search);
std::string returned_legend(const ComparedSearch& search);

/// Figure 6: what brute force, the search (its first seed) and MACs in place of latency consider optimal.
std::string optimal_chart(const ComparedTruth& truth, const ComparedSearch& search);
std::string optimal_legend(const ComparedTruth& truth, const ComparedSearch& search);

/// Figure 7: the achieved gap against what was spent, all searches; `clock`: of real runs, against active run time.
std::string gap_chart(const ComparedTruth& truth, bool clock);
std::string gap_legend(const ComparedTruth& truth, bool clock);

}  // namespace sonar
