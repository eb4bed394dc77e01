// An outside tuner: a command of the user's that tunes subgraphs, driven over JSON lines (docs/tuners.md).
#pragma once
#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/measurement.h"
#include "model/subgraph.h"
#include "process/process.h"
#include "sonar/config.h"

namespace sonar {

/// Of the lines that SONAR and a tuner exchange; a tuner of another version is refused.
inline constexpr int kTunerProtocolVersion = 1;

/// Words of a command line: separated by spaces, kept together by '...' or "...", \ before a character takes it as it
/// is. No shell looks at it. Throws UserError naming the `key` on an unclosed quote and on no word at all.
std::vector<std::string> split_command(const std::string& text, const std::string& key = "search.tuner");

/// The tuner process died or said nothing for too long. What it was asked for can be asked of a new one.
struct TunerGone : std::runtime_error {
  TunerGone(const std::string& text, MeasureErrorKind kind) : std::runtime_error(text), cause(kind) {}
  MeasureErrorKind cause;  // of the trial that it was at: crash or run timeout
};

struct TunerSessionOptions {
  std::string command;              // as in search.tuner
  std::vector<int> timing_cores;    // what it measures belongs on these,
  std::vector<int> building_cores;  // what it builds on these; the process may run on both
  int threads = 1, batch = 1;       // of one inference: threads, images
  int64_t seed = 1;
  double time_limit_s = 300;  // without any line from it while it is at work
  std::string folder;         // for files of its own, kept as long as the run; made when missing
  std::string log_path;       // its stderr is appended
};

TunerSessionOptions tuner_session_options(const Config& config, const std::string& work_folder);

/// One process of the tuner. Not thread-safe. Members throw EnvironmentError when the tuner breaks the protocol, naming
/// the command, what it said and the remedy; TunerGone when there is no answer; Stopped soon after *stop is set.
class TunerSession {
 public:
  struct Identity {
    std::string name;       // "TVM MetaSchedule 0.27.0": the compiler of a record's identity
    std::string target;     // as the tuner writes it
    bool measures = false;  // it can measure a trial once more
  };
  struct Answer {
    int trial = 0;
    Outcome outcome;
    double build_s = 0;
  };

  /// Starts the process and exchanges hellos; a tuner that ends or stays silent before its hello is EnvironmentError.
  /// `note` hears what it has to say for people.
  TunerSession(const TunerSessionOptions& options, const std::atomic<bool>* stop,
               std::function<void(const std::string&)> note = {});

  const Identity& identity() const { return identity_; }
  /// New programs of a subgraph, to be known by these numbers; 0 is the default program. Those that the tuner ends
  /// without get the outcome "no program". `best_us`: best latency so far, 0: none.
  void tune(const Subgraph& subgraph, const std::vector<int>& trials, double best_us,
            const std::function<void(Answer)>& answer);
  /// Programs that were measured before, measured once more. Only where identity().measures.
  void measure(const Subgraph& subgraph, const std::vector<int>& trials, const std::function<void(Answer)>& answer);

 private:
  void exchange_hellos();
  std::string receive();
  void send(const std::string& line);
  void exchange(const std::string& request, const Subgraph& subgraph, std::vector<int> trials, bool may_end_early,
                const std::function<void(Answer)>& answer);
  [[noreturn]] void refuse(const std::string& what, const std::string& line) const;
  std::string name() const { return "the tuner '" + options_.command + "'"; }

  TunerSessionOptions options_;
  const std::atomic<bool>* stop_;
  std::function<void(const std::string&)> note_;
  Identity identity_;
  ChildProcess process_;
};

}  // namespace sonar
