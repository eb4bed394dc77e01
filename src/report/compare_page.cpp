// `sonar compare`: the page round the figures of compare_charts.cpp, and the files beside it.
#include <fmt/format.h>

#include <filesystem>

#include "model/error.h"
#include "report/compare_charts.h"
#include "report/compare_files.h"
#include "report/html.h"
#include "report/report.h"
#include "report/wording.h"

namespace sonar {
namespace {

std::string table_html(const std::vector<std::vector<std::string>>& cells) {
  std::vector<Column> columns;
  for (const std::string& heading : cells[0]) columns.push_back({escape_html(heading), columns.empty() ? "w" : "n"});
  Table table(columns, "");
  for (size_t r = 1; r < cells.size(); ++r) {
    std::vector<std::string> row;
    for (const std::string& cell : cells[r]) row.push_back(escape_html(cell));
    table.row(row);
  }
  return table.html();
}

std::string figure(const std::string& caption, const std::string& chart, const std::string& legend) {
  return "<figure><figcaption>" + caption + "</figcaption>" + chart + legend + "</figure>";
}

/// Headings and captions name the truth where there are several.
std::string heading(const Comparison& comparison, const ComparedTruth& truth) {
  return comparison.truths.size() == 1 ? "" : "<h3>" + escape_html(truth.name) + "</h3>";
}
std::string caption(const Comparison& comparison, const ComparedTruth& truth, const ComparedSearch& search) {
  const std::string of_search = "<b>" + escape_html(search.name) + "</b>";
  return comparison.truths.size() == 1 ? of_search : of_search + " on " + escape_html(truth.name);
}

std::string truth_sentence(const ComparedTruth& truth) {
  return fmt::format(
      "<p><strong>{}</strong>: {}, {} of them on the true front, with {}. Brute force takes {} of training and {} of "
      "tuning.</p>",
      escape_html(truth.name), plural(truth.trace->networks.size(), "network"), count_text(truth.truth->front().size()),
      plural(truth.trace->subgraphs.size(), "unique subgraph"), duration_text(truth.trace->brute_force_train_s),
      duration_text(truth.trace->brute_force_tune_s));
}

std::string searches_section(const Comparison& comparison) {
  std::string html = section(
      "searches", "Searches",
      fmt::format(
          "34x: the search was given a thirty-fourth of what brute force costs, in training and in tuning. Means "
          "over {}, ± half of the 95 % confidence interval. Gaps are in percent points, with the networks of the "
          "true front that are missed left out of the mean and counted beside it; hypervolume is that of the "
          "networks returned over that of the true front; tau is Kendall's, of the latencies that the search "
          "believes with the final ones.",
          plural(comparison.seeds, "seed")));
  for (const ComparedTruth& truth : comparison.truths) {
    html += heading(comparison, truth) + table_html(search_cells(truth));
    for (const std::string& remark : remarks(truth)) html += "<p class=\"sub\">" + escape_html(remark) + "</p>";
  }
  return html;
}

std::string figure5_section(const Comparison& comparison) {
  std::string html =
      section("figure5", "Figure 5: accuracy against latency",
              "What brute force finds and what a search returns. Replayed searches are drawn at the final "
              "accuracy and latency of what they returned, real runs at the values that they state.");
  html += "<div class=\"pair\">";
  for (const ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch& search : truth.searches)
      if (search.refused.empty())
        html += figure(caption(comparison, truth, search), returned_chart(truth, search), returned_legend(search));
  return html + "</div>";
}

std::string figure6_section(const Comparison& comparison) {
  std::string html =
      section("figure6", "Figure 6: what is considered Pareto optimal",
              "By brute force; by the search itself, from what it has seen; and by the final accuracy with "
              "multiply-accumulates in place of latency. All stand at their final accuracy and latency. Marks of the "
              "latter two without a dot inside are no optimum.");
  html += "<div class=\"pair\">";
  for (const ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch* search : shown_in_figure6(truth))
      html +=
          figure(caption(comparison, truth, *search), optimal_chart(truth, *search), optimal_legend(truth, *search));
  return html + "</div>";
}

std::string figure7_section(const Comparison& comparison) {
  std::string html = section(
      "figure7", "Figure 7: accuracy gap against time spent",
      fmt::format("The achieved gap at each moment: for each network of the true front, its accuracy less the best "
                  "observed so far among networks that are no slower or, where there is none yet, less chance; the "
                  "mean over {}, with its 95 % band. A curve is dotted while networks of the true front are missed "
                  "in this way.",
                  plural(comparison.seeds, "seed")));
  for (const ComparedTruth& truth : comparison.truths) {
    html += heading(comparison, truth);
    html += gap_chart(truth, false) + gap_legend(truth, false);
    for (const ComparedSearch& search : truth.searches)
      if (!search.clock.empty()) {
        html += figure("<b>Real runs</b>, by their own clock", gap_chart(truth, true), gap_legend(truth, true));
        break;
      }
  }
  return html;
}

}  // namespace

std::string comparison_html(const Comparison& comparison) {
  std::string html = page_head("SONAR: comparison", compare_css());
  html += "<header><h1>Searches against brute force</h1><nav>";
  for (auto [id, title] : {std::pair{"searches", "Searches"},
                           {"figure5", "Figure 5"},
                           {"figure6", "Figure 6"},
                           {"figure7", "Figure 7"},
                           {"table2", "Table 2"}})
    html += fmt::format("<a href=\"#{}\">{}</a>", id, title);
  html += "</nav></header>\n<main><div class=\"summary\">";
  for (const ComparedTruth& truth : comparison.truths) html += truth_sentence(truth);
  html += "</div>" + searches_section(comparison) + figure5_section(comparison) + figure6_section(comparison) +
          figure7_section(comparison);
  html += section(
      "table2", "Table 2: rank correlation with the final latency",
      "Kendall's tau of each latency metric with the latency after full tuning; of a search, the latencies that it "
      "believes at its end, over the networks that it began with. n: fewer than all networks have a value. A star: not "
      "available.");
  html += table_html(table2_cells(comparison));
  return html + page_end("from recorded curves; the numbers behind each figure are in the CSV files beside it");
}

std::string compare_searches(const std::vector<std::string>& inputs, const CompareOptions& options,
                             const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) throw EnvironmentError(out + ": cannot be made (" + error.message() + "); choose another with --out");
  const Comparison comparison = compare(inputs, options, out);
  std::vector<std::string> files;
  const auto write = [&](const char* name, const std::string& text) {
    files.push_back(out + "/" + name);
    replace_file(files.back(), text);
  };
  write("compare.html", comparison_html(comparison));
  write("figure5.csv", figure5_csv(comparison));
  write("figure6.csv", figure6_csv(comparison));
  write("figure7.csv", figure7_csv(comparison));
  write("table2.csv", table2_csv(comparison));
  write("searches.csv", searches_csv(comparison));
  return options.json ? comparison_json(comparison, files) : comparison_text(comparison, files);
}

}  // namespace sonar
