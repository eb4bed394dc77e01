#include "tune/subgraph_tuner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "model/error.h"

namespace sonar {
namespace {

constexpr double kEnumerable = 65536;  // knob vectors; listing them costs about as much as compiling one program
constexpr int kMoves = 16;             // steps away from a program that was tried already
constexpr int kDraws = 16;

}  // namespace

SubgraphTuner::SubgraphTuner(std::shared_ptr<const ProgramSpace> space, uint64_t seed, TunerOptions options)
    : space_(std::move(space)), seed_(seed), options_(options), default_(space_->default_program()) {
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  if (options_.population < 1 || options_.random_first < 0 || !is_share(options_.exploration) ||
      !is_share(options_.mutation))
    throw InternalError(fmt::format(
        "TunerOptions: population {} must be positive, random_first {} not negative, and exploration {} and "
        "mutation {} between 0 and 1",
        options_.population, options_.random_first, options_.exploration, options_.mutation));
}

std::vector<Knobs> SubgraphTuner::ask(size_t n) {
  // A stream per count of known programs, so that the state is what was asked and told and nothing else.
  Random random(derive_seed(seed_, std::to_string(known_.size())));
  std::vector<Knobs> batch;
  if (n > 0 && known_.insert(default_).second) batch.push_back(default_);
  for (Knobs& knobs : generate(n - batch.size(), random)) {
    known_.insert(knobs);
    batch.push_back(std::move(knobs));
  }
  return batch;
}

void SubgraphTuner::tell(const Knobs& knobs, const Outcome& outcome) {
  if (knobs.size() != space_->knobs().size())
    throw InternalError(fmt::format("SubgraphTuner: a program of {} knobs told for {}, which has {}", knobs.size(),
                                    space_->subgraph().key(), space_->knobs().size()));
  const auto* measurement = std::get_if<Measurement>(&outcome);
  if (measurement && !(measurement->median_us > 0 && std::isfinite(measurement->median_us)))
    throw InternalError(
        fmt::format("SubgraphTuner: a median of {} us told for {}", measurement->median_us, space_->subgraph().key()));
  known_.insert(knobs);
  if (const auto old = latencies_.find(knobs); old != latencies_.end()) {
    ranked_.erase({old->second, knobs});
    latencies_.erase(old);
  }
  if (!measurement) return;
  latencies_.emplace(knobs, measurement->median_us);
  ranked_.emplace(measurement->median_us, knobs);
}

double SubgraphTuner::best_latency_us() const {
  return ranked_.empty() ? std::numeric_limits<double>::infinity() : ranked_.begin()->first;
}

const Knobs& SubgraphTuner::best() const { return ranked_.empty() ? default_ : ranked_.begin()->second; }

std::vector<Knobs> SubgraphTuner::contenders(size_t n) const {
  std::vector<Knobs> best;
  for (auto program = ranked_.begin(); program != ranked_.end() && best.size() < n; ++program)
    best.push_back(program->second);
  return best;
}

std::vector<Knobs> SubgraphTuner::generate(size_t n, Random& random) const {
  std::vector<Knobs> pool;
  std::set<Knobs> seen;
  while (pool.size() < n) {
    std::optional<Knobs> knobs = propose(seen, random);
    if (!knobs) break;
    seen.insert(*knobs);
    pool.push_back(std::move(*knobs));
  }
  if (pool.size() < n && space_->size() <= kEnumerable) {
    std::vector<Knobs> rest = enumerate_untried(seen);
    random.shuffle(rest);
    rest.resize(std::min(rest.size(), n - pool.size()));
    std::move(rest.begin(), rest.end(), std::back_inserter(pool));
  }
  return pool;
}

std::optional<Knobs> SubgraphTuner::propose(const std::set<Knobs>& pool, Random& random) const {
  const auto is_new = [&](const Knobs& knobs) { return !known_.contains(knobs) && !pool.contains(knobs); };
  const bool evolve = known_.size() + pool.size() >= static_cast<size_t>(options_.random_first) && !ranked_.empty();
  Knobs knobs = evolve && random.uniform() >= options_.exploration ? breed(random) : space_->random(random);
  for (int move = 0; move < kMoves; ++move) {
    if (is_new(knobs)) return knobs;
    knobs = space_->mutate(knobs, random);
  }
  for (int draw = 0; draw < kDraws; ++draw) {
    knobs = space_->random(random);
    if (is_new(knobs)) return knobs;
  }
  return std::nullopt;
}

Knobs SubgraphTuner::breed(Random& random) const {
  const Knobs& first = parent(random);
  if (random.uniform() < options_.mutation) return space_->mutate(first, random);
  return space_->mutate(space_->crossover(first, parent(random), random), random);
}

// Linear ranking: of m parents, the k-th best (k from 0) has weight m - k.
const Knobs& SubgraphTuner::parent(Random& random) const {
  const uint64_t m = std::min<uint64_t>(ranked_.size(), options_.population);
  uint64_t ticket = random.below(m * (m + 1) / 2);
  uint64_t place = 0;
  for (; ticket >= m - place; ++place) ticket -= m - place;
  return std::next(ranked_.begin(), place)->second;
}

std::vector<Knobs> SubgraphTuner::enumerate_untried(const std::set<Knobs>& pool) const {
  const std::vector<KnobSpec>& specs = space_->knobs();
  std::vector<size_t> digits(specs.size(), 0);
  std::vector<Knobs> untried;
  while (true) {
    Knobs knobs;
    for (size_t i = 0; i < specs.size(); ++i) knobs.push_back(specs[i].values[digits[i]]);
    if (!known_.contains(knobs) && !pool.contains(knobs) && space_->why_illegal(knobs).empty())
      untried.push_back(std::move(knobs));
    size_t digit = 0;
    while (digit < specs.size() && ++digits[digit] == specs[digit].values.size()) digits[digit++] = 0;
    if (digit == specs.size()) return untried;
  }
}

}  // namespace sonar
