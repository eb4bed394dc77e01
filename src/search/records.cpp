// The record library as a file that people keep: export, import, show.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "records/record_library.h"
#include "records/record_lines.h"
#include "search/open_run.h"
#include "sonar/sonar.h"

namespace sonar {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr size_t kBatch = 2000;     // records in one transaction: other processes wait for it
constexpr size_t kComplaints = 20;  // bad lines of which the reason is kept
constexpr size_t kSubgraphsShown = 15;

/// Calls visit with every record of a run directory, a run store or a library; false when `path` is none of them.
bool read_records(const std::string& path, const std::function<void(const LibraryRecord&)>& visit) {
  const RecordFile kind = record_file_kind(path);
  if (kind == RecordFile::library) {
    RecordLibrary(path, RecordLibrary::Mode::read_only).each(visit);
  } else if (kind == RecordFile::run_store) {
    throw UserError(path + " is a run store; name the run directory that holds it");
  } else if (fs::is_directory(path)) {
    for (const LibraryRecord& record : open_run(path).records()) visit(record);
  } else {
    return false;
  }
  return true;
}

/// Appends to the library in batches.
class Appender {
 public:
  explicit Appender(RecordLibrary& library) : library_(library) {}
  void add(const LibraryRecord& record) {
    batch_.push_back(record);
    if (batch_.size() >= kBatch) flush();
  }
  void flush() {
    const long added = library_.append(batch_);
    count.added += added;
    count.known += static_cast<long>(batch_.size()) - added;
    batch_.clear();
  }
  ImportCount count;

 private:
  RecordLibrary& library_;
  std::vector<LibraryRecord> batch_;
};

std::string identity_text(const RecordIdentity& identity) {
  return fmt::format("{}; {}, {}; program space {}, measuring protocol {}, {} thread{}", identity.device,
                     identity.compiler, identity.target, identity.program_space, identity.protocol, identity.threads,
                     identity.threads == 1 ? "" : "s");
}

json to_json(const KnownSubgraph& known) {
  return {{"key", known.subgraph},
          {"programs", known.programs},
          {"failed", known.failed},
          {"records", known.records},
          {"tuned_programs", known.tuned_programs},
          {"latency_us", known.best_us > 0 ? json(known.best_us) : json(nullptr)},
          {"knobs", known.best}};
}

}  // namespace

long export_records(const std::string& from, const std::function<void(const std::string&)>& line) {
  if (!fs::exists(from)) throw UserError(from + ": there is no such file; name a record library or a run directory");
  long count = 0;
  const bool any = read_records(from, [&](const LibraryRecord& record) {
    line(record_line(record));
    ++count;
  });
  if (!any) throw UserError(from + " is neither a record library nor a run directory");
  return count;
}

ImportCount import_records(const std::string& library_path, const std::string& from, bool skip_bad) {
  if (!fs::exists(from)) throw UserError(from + ": there is no such file");
  std::error_code ignored;
  if (fs::equivalent(library_path, from, ignored)) throw UserError(from + " cannot be imported into itself");
  ImportCount bad;
  const bool is_lines = !fs::is_directory(from) && record_file_kind(from) == RecordFile::other;
  if (is_lines) {
    // All lines are judged before the first one is added.
    long good = 0;
    read_record_lines(from, [&](long number, const LibraryRecord&, const std::string& wrong) {
      if (wrong.empty()) {
        ++good;
        return;
      }
      const std::string text = fmt::format("{}:{}: {}", from, number, wrong);
      if (!skip_bad) throw UserError(text + "; nothing was imported; --skip-bad passes over such lines");
      if (++bad.bad <= static_cast<long>(kComplaints)) bad.why.push_back(text);
    });
    if (good == 0 && bad.bad > 0) throw UserError(from + " holds no good record: " + bad.why.front());
  }
  RecordLibrary library(library_path, RecordLibrary::Mode::create_or_open);
  Appender appender(library);
  if (is_lines)
    read_record_lines(from, [&](long, const LibraryRecord& record, const std::string& wrong) {
      if (wrong.empty()) appender.add(record);
    });
  else
    read_records(from, [&](const LibraryRecord& record) { appender.add(record); });
  appender.flush();
  appender.count.bad = bad.bad;
  appender.count.why = std::move(bad.why);
  return appender.count;
}

std::string show_records(const std::string& path, bool as_json) {
  const RecordLibrary library(path, RecordLibrary::Mode::read_only);
  json out{{"library", path}, {"identities", json::array()}};
  std::string text;
  for (const RecordLibrary::IdentityCount& there : library.identities()) {
    std::vector<KnownSubgraph> subgraphs = library.subgraphs(there.identity);
    const std::vector<FailureCount> failures = library.failures(there.identity);
    if (as_json) {
      json entry{{"target", there.identity.target},
                 {"device", there.identity.device},
                 {"compiler", there.identity.compiler},
                 {"program_space", there.identity.program_space},
                 {"protocol", there.identity.protocol},
                 {"threads", there.identity.threads},
                 {"records", there.records},
                 {"runs", there.runs},
                 {"subgraphs", json::array()},
                 {"failures", json::object()}};
      for (const KnownSubgraph& known : subgraphs) entry["subgraphs"].push_back(to_json(known));
      for (const FailureCount& failure : failures) entry["failures"][to_text(failure.kind)] = failure.count;
      out["identities"].push_back(std::move(entry));
      continue;
    }
    text += fmt::format("{}{}\n  {} records of {} subgraphs, by {} run{}\n", text.empty() ? "" : "\n",
                        identity_text(there.identity), there.records, subgraphs.size(), there.runs,
                        there.runs == 1 ? "" : "s");
    for (const FailureCount& failure : failures)
      text += fmt::format("  {} x {}, first {}: {}\n", failure.count, to_text(failure.kind), failure.subgraph,
                          failure.first_message.substr(0, failure.first_message.find('\n')));
    // The costliest first.
    std::stable_sort(subgraphs.begin(), subgraphs.end(),
                     [](const KnownSubgraph& a, const KnownSubgraph& b) { return a.best_us > b.best_us; });
    size_t width = 8;
    for (const KnownSubgraph& known : subgraphs) width = std::max(width, known.subgraph.size());
    text += fmt::format("  {:<{}}  {:>8}  {:>6}  {:>10}\n", "subgraph", width, "programs", "failed", "best us");
    for (size_t i = 0; i < subgraphs.size() && i < kSubgraphsShown; ++i)
      text += fmt::format("  {:<{}}  {:>8}  {:>6}  {:>10}\n", subgraphs[i].subgraph, width, subgraphs[i].programs,
                          subgraphs[i].failed,
                          subgraphs[i].best_us > 0 ? fmt::format("{:.2f}", subgraphs[i].best_us) : "-");
    if (subgraphs.size() > kSubgraphsShown)
      text += fmt::format("  ... {} more; --json shows all\n", subgraphs.size() - kSubgraphsShown);
  }
  if (as_json) return out.dump(2, ' ', false, json::error_handler_t::replace);
  if (text.empty()) return path + " holds no records yet";
  text.pop_back();
  return text;
}

}  // namespace sonar
