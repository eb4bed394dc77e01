// The record library: programs measured by many runs, in one SQLite file that they share (WAL, many writers). Schema in
// library_schema.sql, versioned. The run store stays the truth of a run; the library is a copy that others start from.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "records/run_store.h"

namespace sonar {

/// What a file holds that records can be read from.
enum class RecordFile { library, run_store, other };
RecordFile record_file_kind(const std::string& path);

/// What is known of one subgraph under one identity. Of a program that was measured several times the latest outcome
/// counts; failures that say nothing of the program (an unreachable device) do not.
struct KnownSubgraph {
  SubgraphKey subgraph;
  long records = 0;           // measured programs and failures, repetitions included
  long programs = 0;          // different programs
  long failed = 0;            // of them
  double tuned_programs = 0;  // largest budget, in programs per subgraph, of a finished tune that tried programs of it
  double best_us = -1;        // < 0: no program is valid
  std::string best;           // its knobs
};

/// Members throw EnvironmentError on I/O failure, naming the file and the remedy; after such an error the library is as
/// it was before the call. Not thread-safe; any number of processes may have one open.
class RecordLibrary {
 public:
  enum class Mode { create_or_open, read_only };
  /// Throws UserError when the file is no library, or one of another schema version.
  RecordLibrary(const std::string& path, Mode mode);
  ~RecordLibrary();
  RecordLibrary(RecordLibrary&&) noexcept;
  const std::string& path() const;

  /// One transaction; those that the library holds already (same run, arrival and time) are left as they are. Returns
  /// how many are new.
  long append(const std::vector<LibraryRecord>& records);
  /// All records in order of arrival.
  void each(const std::function<void(const LibraryRecord&)>& visit) const;

  struct IdentityCount {
    RecordIdentity identity;
    long records = 0, runs = 0;
  };
  std::vector<IdentityCount> identities() const;  // most records first
  long records(const RecordIdentity& identity) const;

  /// In order of the keys.
  std::vector<KnownSubgraph> subgraphs(const RecordIdentity& identity) const;
  KnownSubgraph known(const RecordIdentity& identity, const SubgraphKey& subgraph) const;
  /// The keys alone, which is quick.
  std::vector<SubgraphKey> keys(const RecordIdentity& identity) const;
  /// The `best` fastest programs of a subgraph, `others` of the rest (spread evenly over their ranks, failures last),
  /// and the default program when it is there: fastest first. A function of the library's contents.
  std::vector<EarlierRow> select(const RecordIdentity& identity, const SubgraphKey& subgraph, size_t best,
                                 size_t others, const std::string& default_program = "") const;
  /// Failures by cause, most frequent first; `subgraph` and `first_message` of one of them.
  std::vector<FailureCount> failures(const RecordIdentity& identity) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// In one line, in what the library's nearest identity differs from `wanted`: "records of Halide 20.0.0 are not used by
/// Halide 21.0.0". Empty when it holds records of `wanted`, or none at all.
std::string why_unused(const RecordLibrary& library, const RecordIdentity& wanted);

}  // namespace sonar
