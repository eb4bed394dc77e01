// One run of the joint search, from an empty folder or from what an earlier process left in it. run_search.cpp calls
// the stages in order; each is safe to enter again after a kill, because whatever it decided or learned stands in the
// store.
#pragma once
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "onnx/import_onnx.h"
#include "policy/search_policy.h"
#include "records/record_library.h"
#include "search/candidates.h"
#include "search/executors.h"
#include "search/tuning.h"
#include "sonar/sonar.h"

namespace sonar {

class SearchRun {
 public:
  enum class Purpose { search, tune, train };
  /// `only`: the one network of `tune` and `train`; with `imported`, its graph and the name it goes by.
  SearchRun(const Config& config, const RunOptions& options, Purpose purpose, const std::string& only = "",
            std::optional<ImportedNetwork> imported = std::nullopt);
  ~SearchRun();

  void open_store();         // the folder, its lock, its configuration, room on the disk
  void open_data();          // trainers started, data set read
  void choose_candidates();  // space -> candidates -> graphs -> unique subgraphs
  void start_device();       // compiler workers, runner, identity of the records
  void restore();            // rounds, decisions, training and tuning as recorded
  void measure_proxies();    // what the command search.proxy says of each network
  void measure_defaults();   // every latency is known from the start; training steps are timed beside it
  bool begin_round();        // shares and targets; false when no round is left
  void execute_round();      // train and tune
  void eliminate();          // survivors
  void finish();             // contenders and survivors measured once more, test accuracy, results
  void write_outcome();      // report.html, front.csv; the closing lines

  bool already_finished() const;
  /// After Ctrl-C: everything is recorded already; writes the report of what there is.
  void note_stop();

 private:
  struct Network {
    Candidate candidate;
    NetworkRow row;
    std::string graph_json;
    std::vector<std::pair<size_t, int>> subgraphs;  // index into tuning_, occurrences
    double test_accuracy = -1;
    std::optional<Outcome> end_to_end;
  };

  // events
  void pump();
  void handle(TrainProgress& event);
  void handle(TrainPointArrived& event);
  void handle(ProcessRestarted& event);
  void handle(TunerNote& event);
  void handle(TrainFinished& event);
  void handle(ProgramArrived& event);
  void handle(DeviceUsed& event);
  void handle(NetworkArrived& event);
  void handle(MeasuringFailed& event);

  // work
  struct TrainingToDo {
    size_t network;
    long to_step;
    int val_images;
  };
  void submit_training(const TrainingToDo& training);
  void release_heirs(size_t network);
  std::optional<size_t> origin_of(size_t network) const;
  void submit_jobs(std::vector<MeasureJobRow> jobs, double sampling_s);
  void submit_remaining(const std::vector<MeasureJobRow>& jobs, double sampling_s,
                        const std::set<std::pair<long, int>>& measured);
  void submit_network_measurement(size_t network);
  bool issue_batches();
  void take_plan();
  void train_to_targets();
  void extend_training();
  void time_networks();
  bool issue_contenders();
  void measure_contenders();
  void finish_defaults();

  // records of other runs (search_run_records.cpp)
  void open_library();
  void adopt_earlier(const RecordIdentity& identity);
  void choose_earlier(const RecordIdentity& identity);
  std::vector<Knobs> answer_of(size_t subgraph, const std::vector<EarlierRow>& rows) const;
  void share_records(bool at_end);
  void warn(const std::string& stage, const std::string& text);
  void note_answer(const MeasureJobRow& job, const Knobs& knobs, const Outcome& outcome);
  void confirm_answers();
  double programs_per_subgraph() const;
  double subgraph_latency_us(size_t subgraph) const;
  const Knobs& subgraph_best(size_t subgraph) const;

  // figures
  bool timed() const { return !config_.search.time.empty() && purpose_ == Purpose::search && !exhaustive(); }
  bool side_by_side() const { return timed() && config_.search.schedule == "parallel"; }
  bool exhaustive() const { return config_.search.algorithm == "brute-force"; }
  bool measuring() const { return programs_out_ > 0 || networks_out_ > 0; }
  double remaining_s() const;
  double contenders_s() const;  // what measuring the contenders once more will take
  Remaining remaining() const;
  double mean_program_s() const;
  double latency_us(size_t network) const;
  double best_latency_us(const Network& network) const;
  int validation_images(long slice_steps) const;
  PolicyOptions policy_options() const;
  const NetworkState& state(size_t network) const { return policy_->state().networks[network]; }
  std::vector<size_t> alive() const { return policy_->state().alive(); }
  void note_outcome(const MeasureJobRow& job, const Outcome& outcome);
  void count_occurrences();
  std::string first_failure() const;
  std::string checkpoint_folder(const Network& network) const;
  void put_costs();
  double lower_bound_us(const NetworkRow& row) const;

  void say(const std::string& stage, const std::string& text);
  void show_progress();
  void check_disk(bool at_start);
  void remember_time();

  /// Of `tune`: a subgraph that the record library has tuned enough. Nothing more is tried of it.
  struct Answer {
    std::vector<Knobs> programs;  // the best known, fastest first; the default program last
    Knobs best;
    double latency_us = 0;  // of `best`, as recorded until it was measured in this run
    std::set<Knobs> tried;  // of `programs`, by this run
    bool confirmed = false;
  };

  Config config_;
  RunOptions options_;
  Purpose purpose_;
  std::string only_;
  std::optional<ImportedNetwork> imported_;
  std::unique_ptr<RunStore> store_;
  ActiveClock clock_;
  EventQueue events_;
  std::unique_ptr<Space> space_;
  std::vector<Network> networks_;
  std::map<std::string, size_t> network_index_;
  std::unique_ptr<Tuning> tuning_;
  std::map<SubgraphKey, CallContext> contexts_;  // in which programs are timed, over all candidates
  std::unique_ptr<SearchPolicy> policy_;         // every decision; places of networks and subgraphs as here
  std::map<long, size_t> told_of_job_;           // outcomes that the policy knows of
  std::map<size_t, double> best_of_batches_;     // by subgraph: first readings only
  std::unique_ptr<RecordLibrary> library_;
  std::map<size_t, Answer> answers_;  // by index into tuning_
  long shared_ = 0;                   // arrival of the last program that the library was given
  double next_share_s_ = 0;
  bool library_failed_ = false;
  long steps_per_epoch_ = 0, full_steps_ = 0;
  int classes_ = 0, val_images_available_ = 0;

  RoundRow round_;  // the current one
  bool round_open_ = false;
  long round_programs_issued_ = 0;
  std::vector<RoundRow> past_rounds_;
  std::set<std::pair<long, int>> measured_;  // (job, index) in the store when this process began
  std::vector<MeasureJobRow> unfinished_;    // of the process before

  std::vector<std::optional<size_t>> parents_;           // of weights, by network (train.inherit)
  std::map<size_t, std::vector<TrainingToDo>> waiting_;  // by the network whose weights they start from
  int train_pending_ = 0, networks_out_ = 0;             // those that wait are pending
  long programs_out_ = 0;
  struct JobOut {
    SubgraphKey subgraph;
    size_t programs;  // still to come
  };
  std::map<long, JobOut> jobs_out_;             // measuring jobs by id
  std::vector<int> own_cores_;                  // timed cores that this thread cannot keep off
  double train_wall_s_ = 0, train_work_s_ = 0;  // of finished training jobs: wall and pure training time
  double measure_wall_s_ = 0;
  long measured_programs_ = 0;
  double defaults_until_s_ = 0;  // when the default programs that are still out will be measured; 0: all are
  int contender_passes_ = 0;
  double last_shown_s_ = -1, last_disk_check_s_ = -1, last_remembered_s_ = -1;
  std::map<size_t, std::string> training_now_;  // per worker
  std::string tuning_now_;

  // Last, so that they stop first: they post to events_ and read clock_.
  std::unique_ptr<MeasureExecutor> measuring_;
  CoreClaims::Claim busy_;  // of own_cores_, given back while this thread waits
  std::unique_ptr<TrainExecutor> training_;
};

}  // namespace sonar
