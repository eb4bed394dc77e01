// Which programs of one subgraph are tried next: the interface of every tuner, ask/tell.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "program/program_space.h"

namespace sonar {

/// One subgraph's tuner. What was asked for and told is all that it knows, so that it is restored by restore_asked()
/// and by telling the outcomes again. Not thread-safe.
class Tuner {
 public:
  virtual ~Tuner() = default;

  /// Up to n programs never asked for or told before; the first ever is the default program. Fewer, at last none, when
  /// no untried program is left.
  virtual std::vector<Knobs> ask(size_t n) = 0;
  /// These were asked for already, by a process before this one.
  virtual void restore_asked(const std::vector<Knobs>& programs) = 0;
  /// A program may be told again (re-measurement): the latest outcome counts. Throws InternalError on a program of
  /// another space and on a median that is no positive number.
  void tell(const Knobs& knobs, const Outcome& outcome);

  /// Best valid program, by median latency; infinity when there is none.
  double best_latency_us() const;
  const Knobs& best() const;  // the default program while nothing valid is known
  /// The n best valid programs, fastest first.
  std::vector<Knobs> contenders(size_t n) const;
  const ProgramSpace& space() const { return *space_; }

 protected:
  explicit Tuner(std::shared_ptr<const ProgramSpace> space);
  const Knobs& default_program() const { return default_; }

 private:
  /// What a tuner makes of an outcome beyond ranking it; called before that is done.
  virtual void learn(const Knobs& knobs, const Outcome& outcome) = 0;

  std::shared_ptr<const ProgramSpace> space_;
  Knobs default_;
  std::map<Knobs, double> latencies_;          // of the valid programs, median in microseconds
  std::set<std::pair<double, Knobs>> ranked_;  // the same, fastest first
};

}  // namespace sonar
