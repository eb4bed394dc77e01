#include "search/program_measurer.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "search/kept_objects.h"
#include "search/measured_case.h"

namespace sonar {
namespace {

/// A whole network is run in so many processes, since where its memory lies differs between them, for this long each.
constexpr int kWholeRepetitions = 5;
constexpr double kWholeSampling = 0.15;  // seconds

std::vector<int> core_list(int core) { return core < 0 ? std::vector<int>{} : std::vector<int>{core}; }

/// Compiles on no core that is timed.
class ClaimingCompiler : public ProgramCompiler {
 public:
  ClaimingCompiler(ProgramCompiler& compiler, CoreClaims& claims) : compiler_(compiler), claims_(claims) {}
  size_t workers() const override { return compiler_.workers(); }
  int core(size_t worker) const override { return compiler_.core(worker); }
  CompileResult compile(size_t worker, const CompileRequest& request) override {
    const CoreClaims::Claim claim = claims_.for_work(core_list(core(worker)));
    return compiler_.compile(worker, request);
  }

 private:
  ProgramCompiler& compiler_;
  CoreClaims& claims_;
};

}  // namespace

void pin_this_thread(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core : cores) CPU_SET(core, &set);
  if (!cores.empty()) sched_setaffinity(0, sizeof set, &set);
}

std::vector<int> keep_off(const std::vector<int>& cores) {
  cpu_set_t allowed, rest;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return cores;
  rest = allowed;
  for (int core : cores) CPU_CLR(core, &rest);
  if (CPU_COUNT(&rest) > 0 && sched_setaffinity(0, sizeof rest, &rest) == 0) return {};
  std::vector<int> shared;
  for (int core : cores)
    if (CPU_ISSET(core, &allowed)) shared.push_back(core);
  return shared;
}

struct ProgramMeasurer::State {
  struct Item {
    ProgramToMeasure program;
    long ticket = 0;
    std::string name;     // of its function, when it is compiled
    SharedObject object;  // null: it does not compile
    std::optional<MeasureError> error;
    double compile_s = 0;

    void take(const CompileResult& result);
  };

  ProgramCompiler& compiler;
  Device& device;
  MeasuringCores cores;
  Listener listener;
  CoreClaims claims;
  ExpectedOutputs expected;
  KeptObjects kept;
  std::atomic<long> next_name{0};

  std::mutex mutex;  // of what follows
  std::condition_variable changed;
  std::deque<Item> queued, compiled;
  size_t compiling = 0;
  bool stop = false;
  std::mutex told;  // the listener hears one at a time
  std::vector<std::thread> threads;

  State(ProgramCompiler& c, Device& d, const MeasuringCores& on, Listener l)
      : compiler(c), device(d), cores(on), listener(std::move(l)) {}

  std::string new_name() { return "sonar_program_" + std::to_string(next_name++); }
  void start();
  void compile_items(size_t worker);
  void measure_chunks();
  bool take_chunk(std::vector<Item>& chunk);
  std::vector<Result> run(std::vector<Item>& chunk);
  std::vector<CompileResult> compile_now(const std::vector<CompileRequest>& requests);
  std::vector<Outcome> run_batch(const Batch& batch);
  void tell(Chunk chunk);
};

void ProgramMeasurer::State::Item::take(const CompileResult& result) {
  if (!result.error) object = std::make_shared<ObjectFile>(result.object, name);
  error = result.error;
  compile_s = result.seconds;
}

void ProgramMeasurer::State::start() {
  if (!threads.empty()) return;
  for (size_t w = 0; w < compiler.workers(); ++w) threads.emplace_back([this, w] { compile_items(w); });
  // Two take turns, so that one chunk is linked while the other is timed.
  const int measuring = cores.beside.empty() ? 1 : 2;
  for (int i = 0; i < measuring; ++i) threads.emplace_back([this] { measure_chunks(); });
}

void ProgramMeasurer::State::tell(Chunk chunk) {
  std::lock_guard lock(told);
  if (listener) listener(std::move(chunk));
}

void ProgramMeasurer::State::compile_items(size_t worker) {
  const std::vector<int> core = core_list(compiler.core(worker));
  pin_this_thread(core);
  for (;;) {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stop || (!queued.empty() && compiled.size() < kBusy); });
      if (stop) return;
    }
    const CoreClaims::Claim claim = claims.for_work(core);
    Item item;
    {
      std::lock_guard lock(mutex);
      if (stop) return;
      if (queued.empty()) continue;
      item = std::move(queued.front());
      queued.pop_front();
      ++compiling;
    }
    try {
      const Subgraph& subgraph = item.program.space->subgraph();
      item.object = kept.find(subgraph.key(), item.program.knobs);
      if (!item.object) item.take(compiler.compile(worker, {subgraph, item.program.knobs, item.name}));
    } catch (...) {
      tell({{}, std::current_exception()});
      std::lock_guard lock(mutex);
      --compiling;
      stop = true;
      changed.notify_all();
      return;
    }
    std::lock_guard lock(mutex);
    --compiling;
    compiled.push_back(std::move(item));
    changed.notify_all();
  }
}

bool ProgramMeasurer::State::take_chunk(std::vector<Item>& chunk) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] {
    return stop || compiled.size() >= kChunk || (!compiled.empty() && queued.empty() && compiling == 0);
  });
  if (stop) return false;
  chunk.clear();
  while (!compiled.empty() && chunk.size() < kChunk) {
    chunk.push_back(std::move(compiled.front()));
    compiled.pop_front();
  }
  changed.notify_all();
  return true;
}

void ProgramMeasurer::State::measure_chunks() {
  pin_this_thread(cores.beside.empty() ? cores.timing : cores.beside);
  std::vector<Item> chunk;
  while (take_chunk(chunk)) {
    Chunk told_chunk;
    try {
      std::vector<Result> results = run(chunk);
      for (size_t i = 0; i < chunk.size(); ++i) told_chunk.results.emplace_back(chunk[i].ticket, std::move(results[i]));
    } catch (...) {
      told_chunk.error = std::current_exception();
    }
    chunk.clear();
    const bool failed = told_chunk.error != nullptr;
    {
      std::lock_guard lock(mutex);
      if (stop) return;
      if (failed) stop = true, changed.notify_all();
    }
    tell(std::move(told_chunk));
    if (failed) return;
  }
}

/// The batch alone on the timed cores.
std::vector<Outcome> ProgramMeasurer::State::run_batch(const Batch& batch) {
  CoreClaims::Claim claim;
  return device.measure(batch, {}, [&] { claim = claims.for_timing(cores.timing); });
}

std::vector<ProgramMeasurer::Result> ProgramMeasurer::State::run(std::vector<Item>& chunk) {
  std::vector<Result> results(chunk.size());
  Batch batch;
  std::vector<size_t> of_case;
  std::map<std::string, int> functions;
  for (size_t i = 0; i < chunk.size(); ++i) {
    const Item& item = chunk[i];
    results[i].compile_s = item.compile_s;
    if (item.error) {
      results[i].outcome = *item.error;
      continue;
    }
    const auto [place, added] = functions.try_emplace(item.object->function, static_cast<int>(functions.size()));
    const int function = place->second;
    if (added) {
      batch.objects.push_back(item.object->path);
      batch.functions.push_back(item.object->function);
    }
    Case one = program_case(*item.program.space, item.program.knobs, function,
                            expected.of(item.program.space->subgraph()), item.program.context);
    one.best_us = item.program.best_us;
    one.sampling_s = item.program.sampling_s;
    batch.cases.push_back(std::move(one));
    of_case.push_back(i);
  }
  if (batch.cases.empty()) return results;
  std::vector<Outcome> outcomes = run_batch(batch);
  for (size_t c = 0; c < outcomes.size(); ++c) {
    const Item& item = chunk[of_case[c]];
    if (const auto* measurement = std::get_if<Measurement>(&outcomes[c]))
      kept.offer(item.program.space->subgraph().key(), item.program.knobs, item.object, measurement->median_us);
    results[of_case[c]].outcome = std::move(outcomes[c]);
  }
  return results;
}

std::vector<CompileResult> ProgramMeasurer::State::compile_now(const std::vector<CompileRequest>& requests) {
  ClaimingCompiler claiming(compiler, claims);
  return compile_all(claiming, requests);
}

ProgramMeasurer::ProgramMeasurer(ProgramCompiler& compiler, Device& device, const MeasuringCores& cores,
                                 Listener listener)
    : state_(std::make_unique<State>(compiler, device, cores, std::move(listener))) {}

ProgramMeasurer::~ProgramMeasurer() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->claims.close();
  for (std::thread& thread : state_->threads) thread.join();
}

CoreClaims& ProgramMeasurer::claims() { return state_->claims; }

void ProgramMeasurer::submit(const std::vector<ProgramToMeasure>& programs, long first) {
  std::lock_guard lock(state_->mutex);
  state_->start();
  for (const ProgramToMeasure& program : programs)
    state_->queued.push_back({program, first++, state_->new_name(), nullptr, {}, 0});
  state_->changed.notify_all();
}

void ProgramMeasurer::measure(const std::vector<ProgramToMeasure>& programs,
                              const std::function<void(size_t, const Result&)>& done) {
  std::vector<CompileRequest> requests;
  for (const ProgramToMeasure& program : programs)
    requests.push_back({program.space->subgraph(), program.knobs, state_->new_name()});
  const std::vector<CompileResult> compiled = state_->compile_now(requests);
  std::vector<State::Item> items;
  for (size_t i = 0; i < programs.size(); ++i)
    items.emplace_back(State::Item{programs[i], static_cast<long>(i), requests[i].name, nullptr, {}, 0})
        .take(compiled[i]);
  for (size_t begin = 0; begin < programs.size(); begin += kChunk) {
    std::vector<State::Item> chunk(
        std::make_move_iterator(items.begin() + static_cast<long>(begin)),
        std::make_move_iterator(items.begin() + static_cast<long>(std::min(programs.size(), begin + kChunk))));
    const std::vector<Result> results = state_->run(chunk);
    for (size_t i = 0; i < chunk.size(); ++i) done(begin + i, results[i]);
  }
}

Outcome ProgramMeasurer::measure_network(const std::vector<SubgraphUse>& uses,
                                         const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                                         const std::vector<Knobs>& knobs) {
  // Two places of one subgraph with the same knobs share their code but have weights of their own.
  std::vector<CompileRequest> requests;
  std::vector<SharedObject> objects;
  std::map<std::pair<SubgraphKey, Knobs>, int> numbers;
  std::vector<int> functions;
  std::vector<size_t> missing;
  for (size_t i = 0; i < uses.size(); ++i) {
    const SubgraphKey key = uses[i].subgraph.key();
    auto [place, added] = numbers.try_emplace({key, knobs[i]}, static_cast<int>(objects.size()));
    functions.push_back(place->second);
    if (!added) continue;
    objects.push_back(state_->kept.find(key, knobs[i]));
    if (objects.back()) continue;
    missing.push_back(objects.size() - 1);
    requests.push_back({uses[i].subgraph, knobs[i], state_->new_name()});
  }
  const std::vector<CompileResult> compiled = state_->compile_now(requests);
  std::optional<MeasureError> error;
  for (size_t i = 0; i < compiled.size(); ++i) {
    if (compiled[i].error && !error) error = compiled[i].error;
    if (!compiled[i].error) objects[missing[i]] = std::make_shared<ObjectFile>(compiled[i].object, requests[i].name);
  }
  if (error) return *error;
  Batch batch;
  for (const SharedObject& object : objects) {
    batch.objects.push_back(object->path);
    batch.functions.push_back(object->function);
  }
  Case whole = network_case(uses, spaces, knobs, functions);
  whole.sampling_s = kWholeSampling;
  batch.cases.assign(kWholeRepetitions, whole);
  const std::vector<Outcome> outcomes = state_->run_batch(batch);
  std::vector<double> samples;
  long runs = 0;
  for (const Outcome& outcome : outcomes) {
    const auto* measurement = std::get_if<Measurement>(&outcome);
    if (!measurement) return outcome;
    samples.insert(samples.end(), measurement->samples_us.begin(), measurement->samples_us.end());
    runs += measurement->runs;
  }
  return summarize(std::move(samples), runs, false);
}

}  // namespace sonar
