#include "report/example_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "model/random.h"
#include "policy/halving.h"
#include "policy/survivors.h"
#include "records/run_store.h"

namespace sonar {
namespace {

constexpr long kFullSteps = 16000;

struct Candidate {
  NetworkRow row;
  double ceiling = 0;  // accuracy after full training
  double pace = 0;     // steps to cover most of the way
  long steps = 0;
  double accuracy = 0;
};

struct Tuning {
  double floor_us = 0, best_us = INFINITY;
  long tried = 0;
};

Candidate make_candidate(int index, Random& random) {
  const int resolution = 24 + 8 * static_cast<int>(random.below(5));
  const double width = 0.25 * (1 + random.below(4));
  Candidate c;
  const int expansion = random.below(2) ? 3 : 6;
  std::string depths;
  double macs = 0, parameters = 0;
  auto add = [&](Subgraph s, int occurrences) {
    macs += s.macs() * occurrences;
    parameters += s.weight_bytes() / 4 * occurrences;
    c.row.subgraphs.emplace_back(s.key(), occurrences);
  };
  int size = resolution / 2, in = std::max(8, static_cast<int>(16 * width));
  add({SubgraphKind::conv, 1, resolution, resolution, 3, in, 3, 2, 1, 0, Activation::hard_swish, false}, 1);
  for (int base : {24, 40, 80, 112}) {
    const int out = std::max(8, static_cast<int>(base * width) / 8 * 8), wide = out * expansion;
    const int depth = 2 + static_cast<int>(random.below(2));
    depths += std::to_string(depth);
    add({SubgraphKind::conv, 1, size, size, in, wide, 1, 1, 0, 0, Activation::relu, false}, 1);
    add({SubgraphKind::depthwise, 1, size, size, wide, wide, 3, 2, 1, 0, Activation::relu, false}, 1);
    size = (size + 1) / 2;
    add({SubgraphKind::conv, 1, size, size, out, wide, 1, 1, 0, 0, Activation::relu, false}, depth - 1);
    add({SubgraphKind::depthwise, 1, size, size, wide, wide, 3, 1, 1, 0, Activation::relu, false}, depth - 1);
    add({SubgraphKind::conv, 1, size, size, wide, out, 1, 1, 0, 0, Activation::none, true}, depth);
    in = out;
  }
  add({SubgraphKind::dense, 1, 1, 1, in, 10, 1, 1, 0, 0, Activation::none, false}, 1);
  c.row.name = fmt::format("mobilenetv3-r{}-w{:.2f}-e{}-d{}-c{}", resolution, width, expansion, depths, index);
  c.row.macs = macs;
  c.row.parameters = parameters;
  c.row.peak_activation_bytes = 4.0 * resolution * resolution * 16;
  c.ceiling = std::clamp(0.42 + 0.055 * std::log2(macs / 2e5) + 0.03 * (random.uniform() - 0.5), 0.15, 0.95);
  c.pace = 1500 + 200 * std::log2(macs / 1e5);
  return c;
}

class ExampleWriter {
 public:
  ExampleWriter(const std::string& folder, const ExampleRun& example)
      : example_(example), random_(example.seed), store_(folder, RunStore::Mode::create_or_open) {}

  void write() {
    store_.bind_configuration({{"space.family", "mobilenetv3"},
                               {"space.candidates", std::to_string(example_.networks)},
                               {"train.epochs", "40"},
                               {"train.batch", "64"},
                               {"data.path", "/data/<birds> & \"bees\"/train"},
                               {"search.algorithm", "pareto"}});
    store_.bind_identity(
        {"x86-64-linux-avx2-avx512-fma", "Example CPU @ 2.5 GHz, 2 cores, 1 MB L2", "Halide 21.0.0", 1, 1, 1});
    std::vector<NetworkRow> rows;
    for (int i = 0; i < example_.networks; ++i) candidates_.push_back(make_candidate(i, random_));
    for (const Candidate& c : candidates_) {
      rows.push_back(c.row);
      for (const auto& [key, occurrences] : c.row.subgraphs)
        tuning_[key].floor_us = 2e-3 * parse_subgraph(key).macs() / (25 + stable_hash(key) % 60) + 0.4;
    }
    store_.put_networks(rows);
    store_.put_value("full_steps", std::to_string(kFullSteps));
    store_.put_value("full_programs", "512");
    store_.put_value("algorithm", "pareto");
    store_.put_value("classes", "10");
    store_.put_value("train_images", "45000");
    store_.put_value("time_budget_s", "7200");
    if (example_.threshold_us > 0) store_.put_value("threshold_us", fmt::format("{}", example_.threshold_us));
    store_.put_event(0, "warning", "3 images of <data> could not be decoded: a&b.jpg, \"c\".jpg");

    for (const auto& [key, tuning] : tuning_) measure(key, 1, 1, MeasurePurpose::fallback);
    alive_.resize(candidates_.size());
    for (size_t i = 0; i < alive_.size(); ++i) alive_[i] = i;
    const int rounds = round_count(candidates_.size());
    const int to_run = example_.rounds_to_run < 0 ? rounds : std::min(rounds, example_.rounds_to_run);
    for (int round = 1; round <= to_run; ++round) run_round(round, rounds, example_.stop_mid_round && round == to_run);
    store_.put_value("elapsed_s", fmt::format("{}", clock_));
    if (example_.rounds_to_run < 0) finish();
  }

 private:
  void measure(const SubgraphKey& key, int count, int round, MeasurePurpose purpose) {
    MeasureJobRow job;
    job.round = round;
    job.subgraph = key;
    job.purpose = purpose;
    job.requested = count;
    for (int i = 0; i < count; ++i) job.programs.push_back({i, static_cast<int>(random_.below(8)), 16});
    const long id = store_.put_measure_job(job);
    Tuning& tuning = tuning_[key];
    const double started = tune_clock_;
    for (int i = 0; i < count; ++i) {
      tune_clock_ += 0.05 + 0.1 * random_.uniform();
      ProgramRow row{id, i, key, job.programs[i], "tile_c=16 tile_x=4 vector=1", {}, 0.07, tune_clock_};
      const double gain = std::exp(-double(tuning.tried) / 25);
      const double us = tuning.floor_us * (purpose == MeasurePurpose::fallback
                                               ? 4.5
                                               : 1 + 0.05 * random_.uniform() + (0.2 + 3 * gain) * random_.uniform());
      ++tuning.tried;
      if (purpose != MeasurePurpose::fallback && random_.below(40) == 0) {
        const bool crash = random_.below(3) == 0;
        row.outcome = MeasureError{crash ? MeasureErrorKind::crash : MeasureErrorKind::run_timeout,
                                   crash ? "signal 11 (Segmentation fault) in <runner>" : "no answer within 2 s"};
      } else {
        Measurement m;
        for (int k = 0; k < 8; ++k) m.samples_us.push_back(us * (1 + 0.01 * random_.uniform()));
        m.minimum_us = us;
        m.median_us = us * 1.005;
        m.spread = 0.004;
        m.runs = 200;
        tuning.best_us = std::min(tuning.best_us, m.median_us);
        row.outcome = std::move(m);
      }
      store_.put_program(row);
      ++programs_;
    }
    store_.finish_measure_job(id);
    store_.put_usage({Side::tune, 1, started, tune_clock_, key});
  }

  double latency(const Candidate& c) const {
    double sum = 0;
    for (const auto& [key, occurrences] : c.row.subgraphs) sum += occurrences * tuning_.at(key).best_us;
    return sum;
  }

  void run_round(int round, int rounds, bool stop) {
    RoundRow row;
    row.round = round;
    row.started_s = clock_;
    const long share = kFullSteps / (2L << std::max(0, rounds - round));
    for (size_t i : alive_) {
      row.networks.push_back(candidates_[i].row.name);
      row.to_steps.push_back(std::min(kFullSteps, candidates_[i].steps + share));
    }
    const long programs = std::max<long>(0, example_.programs - static_cast<long>(tuning_.size())) / rounds;
    row.programs = programs;
    store_.put_round(row);
    train_clock_ = tune_clock_ = clock_ = std::max({clock_, train_clock_, tune_clock_});
    for (size_t n = 0; n < alive_.size(); ++n) {
      Candidate& c = candidates_[alive_[n]];
      const double started = train_clock_;
      c.steps = row.to_steps[n];
      train_clock_ += share * 0.0001 + 0.02;
      const double value = c.ceiling * (1 - 0.9 * std::exp(-c.steps / c.pace)) + 0.02 * (random_.uniform() - 0.5);
      c.accuracy = std::max(c.accuracy, std::clamp(value, 0.05, 0.97));
      store_.put_train_point({c.row.name, c.steps, value, 2 - value, c.steps * 0.009, 2000}, round, train_clock_);
      store_.put_usage({Side::train, 0, started, train_clock_, c.row.name});
      if (stop && n == alive_.size() / 2) return;
    }
    std::vector<SubgraphKey> live;
    for (const auto& [key, tuning] : tuning_)
      if (std::any_of(alive_.begin(), alive_.end(), [&](size_t i) {
            const auto& list = candidates_[i].row.subgraphs;
            return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == key; });
          }))
        live.push_back(key);
    for (long left = programs; left > 0; left -= 8)
      measure(live[random_.below(live.size())], static_cast<int>(std::min<long>(8, left)), round,
              MeasurePurpose::batch);

    std::vector<Objectives> objectives;
    for (size_t i : alive_) objectives.push_back({candidates_[i].accuracy, latency(candidates_[i])});
    const auto verdicts = example_.threshold_us > 0 ? threshold_survivors(objectives, row.networks,
                                                                          example_.threshold_us, SurvivorRule::paper)
                                                    : pareto_survivors(objectives, row.networks, SurvivorRule::paper);
    std::vector<DecisionRow> decisions;
    std::vector<size_t> kept;
    for (size_t n = 0; n < alive_.size(); ++n) {
      decisions.push_back(
          {round, row.networks[n], objectives[n], verdicts[n].rank, verdicts[n].kept, verdicts[n].reason});
      if (verdicts[n].kept) kept.push_back(alive_[n]);
    }
    clock_ = std::max(train_clock_, tune_clock_);
    store_.put_decisions(decisions, clock_);
    alive_ = kept;
    if (round == 2) store_.put_event(clock_, "resume", "continued after a stop of 3 min");
  }

  void finish() {
    std::vector<ResultRow> results;
    for (size_t i : alive_) {
      const Candidate& c = candidates_[i];
      const double us = latency(c);
      const bool front = std::none_of(alive_.begin(), alive_.end(), [&](size_t k) {
        const Candidate& o = candidates_[k];
        return o.accuracy >= c.accuracy && latency(o) <= us && (o.accuracy > c.accuracy || latency(o) < us);
      });
      results.push_back(
          {c.row.name, {c.accuracy, us}, front, c.accuracy - 0.012, us * (1 + 0.04 * random_.uniform()), 0.006});
    }
    store_.put_results(results);
    store_.put_value("finished", "1");
    store_.put_value("wall_seconds", fmt::format("{}", clock_ + 60));
  }

  const ExampleRun& example_;
  Random random_;
  RunStore store_;
  std::vector<Candidate> candidates_;
  std::vector<size_t> alive_;
  std::map<SubgraphKey, Tuning> tuning_;
  double clock_ = 1, train_clock_ = 1, tune_clock_ = 1;
  long programs_ = 0;
};

}  // namespace

void write_example_run(const std::string& folder, const ExampleRun& example) { ExampleWriter(folder, example).write(); }

}  // namespace sonar
