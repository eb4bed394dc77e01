// The run store: SQLite (WAL), one writer, every epoch and every measurement appended as it arrives (design 8).
// Schema in schema.sql, versioned. Nothing else in SONAR touches SQLite.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "model/objectives.h"
#include "model/subgraph.h"
#include "model/train.h"

namespace sonar {

struct NetworkRow {
  std::string name;
  double macs = 0, parameters = 0, peak_activation_bytes = 0;
  std::vector<std::pair<SubgraphKey, int>> subgraphs;  // with occurrences
};

/// What makes a measured program comparable with another (design 6).
struct RecordIdentity {
  std::string target;     // resolved Halide target
  std::string device;     // CPU model, cores, caches
  std::string compiler;   // "Halide 21.0.0"
  int program_space = 0;  // kProgramSpaceVersion
  int protocol = 0;       // measuring-protocol version
  int threads = 1;
  bool operator==(const RecordIdentity&) const = default;
};

/// In what two identities differ: name, value in `a`, value in `b`.
struct IdentityDifference {
  std::string what, a, b;
};
std::vector<IdentityDifference> differences(const RecordIdentity& a, const RecordIdentity& b);

enum class MeasurePurpose { fallback = 1 /* the default program */, batch = 2, remeasure = 3 };

/// A measuring job: an explicit list of programs of one subgraph.
struct MeasureJobRow {
  long id = 0;
  int round = 0;
  SubgraphKey subgraph;
  MeasurePurpose purpose = MeasurePurpose::batch;
  int requested = 0;  // programs asked of the tuner; more than programs.size() when its space ran out
  std::vector<Knobs> programs;
  bool finished = false;
};

struct ProgramRow {
  long job = 0;
  int index = 0;  // in the job's list
  SubgraphKey subgraph;
  Knobs knobs;
  std::string knobs_text;  // named knobs, for people
  Outcome outcome;
  double compile_s = 0;
  double elapsed_s = 0;     // active run time when it arrived
  long arrival = 0;         // order in the store, from 1; set on reading
  double measured_at = -1;  // seconds since 1970, UTC; < 0: as written, now; as read, not known (schema 1)
};

/// Where a record comes from.
struct RecordOrigin {
  std::string run;             // the run's id, random
  std::string verb;            // search, tune
  double tuned_programs = -1;  // per subgraph: set once a tune has finished (RunStore::kTunedPrograms); < 0: not
  bool operator==(const RecordOrigin&) const = default;
};

/// One program as measured, by whichever run: program.job, index, knobs and elapsed_s have a meaning in that run only.
struct LibraryRecord {
  RecordIdentity identity;
  RecordOrigin origin;
  MeasurePurpose purpose = MeasurePurpose::batch;
  ProgramRow program;
};

/// A program that the record library knew when the run began.
struct EarlierRow {
  SubgraphKey subgraph;
  std::string knobs;                 // as text
  std::optional<double> latency_us;  // nothing: it failed
  bool default_program = false;
  MeasureErrorKind failure = MeasureErrorKind::crash;  // why, when it failed
};
struct EarlierSubgraphRow {
  SubgraphKey subgraph;
  long programs = 0;      // different programs tried before, all that the library held
  bool answered = false;  // its answer is the best of them: nothing more is tried
};

struct RoundRow {
  int round = 0;
  std::vector<std::string> networks;       // S_k
  std::vector<long> to_steps;              // training target of each
  double programs = 0;                     // programs the round may try; 0 when the clock decides
  double train_share = 0, tune_share = 0;  // in the ledgers' units
  double started_s = 0, ended_s = -1;      // active run time; < 0: not ended
};

struct DecisionRow {
  int round = 0;
  std::string network;
  Objectives objectives;  // as estimated when the round ended
  int rank = 0;
  bool kept = true;
  std::string reason;
};

struct ResultRow {
  std::string network;
  Objectives objectives;  // final estimates
  bool on_front = false;
  double test_accuracy = -1;  // fraction; < 0: not evaluated
  double end_to_end_us = -1;  // median of the whole network; < 0: not measured
  double end_to_end_spread = 0;
};

enum class Side { train = 1, tune = 2 };
struct UsageRow {  // one stretch of work of one core of one side
  Side side = Side::train;
  int core = 0;
  double started_s = 0, ended_s = 0;
  std::string what;
};

struct FailureCount {
  MeasureErrorKind kind;
  long count = 0;
  std::string first_message, subgraph;
};

/// All members throw EnvironmentError on I/O failure (full disk, read-only folder) and on a damaged file, naming the
/// file and the remedy; after such an error the store is as it was before the call. Not thread-safe: only the
/// coordinator writes (design 5.12), and a reader in another thread opens its own store, read_only.
class RunStore {
 public:
  enum class Mode { create_or_open, read_only };
  /// Opens FOLDER/run.db. create_or_open takes an exclusive lock on FOLDER/run.lock for the life of the object (a
  /// second process gets UserError naming the pid); read_only takes none and may look at a live run. A store of another
  /// schema version is refused with UserError that names both versions; schema 1 may still be read.
  RunStore(const std::string& folder, Mode mode);
  ~RunStore();
  const std::string& folder() const;

  /// The process that is writing to this run now: its id, or -1 when it has not yet told; nothing when none is.
  static std::optional<long> writer(const std::string& folder);

  /// The resolved configuration as flat "key = value" pairs. The first call stores it; a later one with other values is
  /// refused with UserError that names each difference ("train.epochs: 8 in the run, 12 asked for").
  /// A run in which nothing was measured or trained yet takes the new values instead. A key that the stored
  /// configuration lacks had its value of `defaults`: the run is of a version that did not know the key.
  void bind_configuration(const std::vector<std::pair<std::string, std::string>>& configuration,
                          const std::vector<std::pair<std::string, std::string>>& defaults = {});
  std::vector<std::pair<std::string, std::string>> configuration() const;
  void bind_identity(const RecordIdentity& identity);  // refuses another target, device or compiler, naming it
  std::optional<RecordIdentity> identity() const;

  void put_networks(const std::vector<NetworkRow>& networks);  // idempotent
  std::vector<NetworkRow> networks() const;

  void put_round(const RoundRow& round);  // insert or replace
  std::vector<RoundRow> rounds() const;
  void put_decisions(const std::vector<DecisionRow>& decisions, double ended_s);  // one transaction; ends the round
  std::vector<DecisionRow> decisions() const;

  /// One transaction per call; durable when it returns (synchronous = NORMAL in WAL; see docs/formats.md for what a
  /// power cut may cost). A point that is there already is left as it is.
  void put_train_point(const TrainPoint& point, int round, double elapsed_s);
  struct TimedTrainPoint {
    TrainPoint point;
    int round = 0;
    double elapsed_s = 0;
  };
  std::vector<TimedTrainPoint> train_points() const;

  long put_measure_job(const MeasureJobRow& job);  // returns its id; job.id is ignored
  /// All of them or, after a kill, none; sets their ids.
  void put_measure_jobs(std::vector<MeasureJobRow>& jobs);
  void put_program(const ProgramRow& program);  // (job, index) twice: the first stays
  void finish_measure_job(long id);
  std::vector<MeasureJobRow> measure_jobs() const;         // in order of id
  std::vector<ProgramRow> programs(long after = 0) const;  // in order of arrival, those with a greater one

  /// What the record library knew when the run began: written once, before anything is measured.
  void put_earlier(const std::vector<EarlierSubgraphRow>& subgraphs, const std::vector<EarlierRow>& programs);
  bool has_earlier() const;  // put_earlier was called, be it with nothing
  std::vector<EarlierRow> earlier() const;
  std::vector<EarlierSubgraphRow> earlier_subgraphs() const;

  /// The programs after an arrival as records, in order. Throws UserError when the store is of schema 1, which does not
  /// say when a program was measured, or not a run of programs at all.
  std::vector<LibraryRecord> records(long after = 0) const;
  /// The value() that makes a finished tune count for later ones: programs per subgraph of its budget.
  static constexpr auto kTunedPrograms = "tuned_programs";

  void put_results(const std::vector<ResultRow>& results);  // replaces
  std::vector<ResultRow> results() const;
  void put_usage(const UsageRow& usage);
  std::vector<UsageRow> usage() const;
  void put_event(double elapsed_s, const std::string& kind, const std::string& text);  // warnings, resumes, ...
  struct EventRow {
    double elapsed_s = 0;
    std::string kind, text;
  };
  std::vector<EventRow> events() const;

  /// Small values: "elapsed_s", "finished", "classes", "train_images", ...
  void put_value(const std::string& name, const std::string& value);
  std::optional<std::string> value(const std::string& name) const;

  /// What the command search.proxy said of a network, milliseconds; durable when it returns. From then on the run is
  /// bound to its configuration.
  void put_proxy(const std::string& network, double milliseconds);
  std::map<std::string, double> proxies() const;

  std::vector<FailureCount> failures() const;  // by cause, most frequent first

 private:
  void choose_id();

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sonar
