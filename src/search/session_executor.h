// Carries out measuring jobs by an outside tuner: it proposes, builds and measures; SONAR decides which subgraph is
// next and keeps the records.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "search/executors.h"
#include "search/tuner_session.h"

namespace sonar {

class SessionExecutor : public MeasureExecutor {
 public:
  /// Starts the tuner; throws what TunerSession throws.
  SessionExecutor(const TunerSessionOptions& options, const ActiveClock& clock, EventQueue& events);
  ~SessionExecutor() override;

  const TunerSession::Identity& identity() const { return identity_; }
  void submit(MeasureTask task) override;
  void submit(NetworkTask task) override;
  CoreClaims& claims() override { return claims_; }
  /// One batch at a time: what waits in a queue could not be decided on any more.
  long busy_programs() const override { return 1; }
  bool measures_again() const override { return identity_.measures; }
  bool measures_networks() const override { return false; }

 private:
  void work();
  void carry_out(const std::shared_ptr<const MeasureTask>& task);
  std::unique_ptr<TunerSession> start();

  TunerSessionOptions options_;
  const ActiveClock& clock_;
  EventQueue& events_;
  CoreClaims claims_;  // of nothing: the tuner's process shares its cores with whatever else runs there
  std::atomic<bool> stop_{false};
  std::unique_ptr<TunerSession> session_;
  TunerSession::Identity identity_;
  int deaths_ = 0;  // in a row, without an answer between them
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<MeasureTask> tasks_;
  std::thread worker_;
};

}  // namespace sonar
