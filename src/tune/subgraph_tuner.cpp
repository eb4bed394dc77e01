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
constexpr int kAlike = 2;  // programs of a batch that differ in one knob from another, at most

int differing(const Knobs& a, const Knobs& b) {
  int count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

}  // namespace

/// Distinct programs that were not known before.
class SubgraphTuner::Choice {
 public:
  Choice(const std::set<Knobs>& known, size_t wanted) : known_(known), wanted_(wanted) {}
  bool full() const { return programs_.size() >= wanted_; }
  size_t missing() const { return wanted_ - programs_.size(); }
  bool is_new(const Knobs& knobs) const { return !known_.contains(knobs) && !chosen_.contains(knobs); }
  void add(Knobs knobs) {
    if (full() || !is_new(knobs)) return;
    chosen_.insert(knobs);
    programs_.push_back(std::move(knobs));
  }
  const std::vector<Knobs>& programs() const { return programs_; }

 private:
  const std::set<Knobs>& known_;
  size_t wanted_;
  std::set<Knobs> chosen_;
  std::vector<Knobs> programs_;
};

SubgraphTuner::SubgraphTuner(std::shared_ptr<const ProgramSpace> space, uint64_t seed, TunerOptions options,
                             std::shared_ptr<Experience> experience)
    : Tuner(std::move(space)),
      seed_(seed),
      options_(options),
      experience_(experience ? std::move(experience) : std::make_shared<Experience>()) {
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  if (options_.population < 1 || options_.generations < 1 || options_.generation < 1 || options_.transferred < 0 ||
      !is_share(options_.exploration) || !is_share(options_.mutation))
    throw InternalError(fmt::format(
        "TunerOptions: population {}, generations {} and generation {} must be positive, transferred {} not negative, "
        "and exploration {} and mutation {} between 0 and 1",
        options_.population, options_.generations, options_.generation, options_.transferred, options_.exploration,
        options_.mutation));
}

std::vector<Knobs> SubgraphTuner::ask(size_t n) {
  // A stream per count of known programs, so that the state is what was asked and told and nothing else.
  Random random(derive_seed(seed_, std::to_string(known_.size())));
  Choice choice(known_, n);
  choice.add(default_program());
  if (options_.transfer) choose_transferred(choice);
  if (options_.cost_model) choose_by_model(choice, random);
  choose_bred(choice, random);
  choose_rest(choice, random);
  restore_asked(choice.programs());
  return choice.programs();
}

void SubgraphTuner::restore_asked(const std::vector<Knobs>& programs) {
  known_.insert(programs.begin(), programs.end());
}

void SubgraphTuner::learn(const Knobs& knobs, const Outcome& outcome) {
  known_.insert(knobs);
  if (told_.insert(knobs).second)
    experience_->add(space(), knobs, outcome);
  else
    experience_->correct(space(), knobs, outcome);
}

void SubgraphTuner::choose_transferred(Choice& choice) const {
  const size_t first = 1 + static_cast<size_t>(options_.transferred);  // the default program before them
  const size_t known = known_.size() + choice.programs().size();
  if (known >= first) return;
  size_t left = first - known;
  for (Knobs& knobs : experience_->transferred(space(), first)) {
    if (left == 0 || choice.full()) return;
    if (!choice.is_new(knobs)) continue;
    choice.add(std::move(knobs));
    --left;
  }
}

/// Evolution in which the model's prediction stands for the measurement; the best predicted programs are chosen.
void SubgraphTuner::choose_by_model(Choice& choice, Random& random) const {
  if (contenders(1).empty() || choice.full()) return;
  std::vector<Knobs> parents = contenders(static_cast<size_t>(options_.population));
  std::map<Knobs, float> scores;  // of all that was looked at
  std::vector<std::pair<float, Knobs>> ranking;
  std::vector<Knobs> candidates = parents;
  for (int generation = 0; generation <= options_.generations; ++generation) {
    std::set<Knobs> fresh;
    if (generation == 0 && options_.transfer)
      for (Knobs& knobs : experience_->transferred(space(), parents.size())) fresh.insert(std::move(knobs));
    for (int i = 0; i < options_.generation; ++i) {
      // The first generation is half random, so that the search does not depend on where it began.
      Knobs knobs = generation == 0 && i % 2 == 0 ? space().random(random) : breed(parents, random);
      if (!scores.contains(knobs)) fresh.insert(std::move(knobs));
    }
    candidates.insert(candidates.end(), fresh.begin(), fresh.end());
    const std::vector<float> predicted = experience_->predict(space(), candidates);
    if (predicted.empty()) return;
    for (size_t i = 0; i < candidates.size(); ++i) scores.emplace(candidates[i], predicted[i]);
    candidates.clear();
    ranking.clear();
    for (const auto& [knobs, score] : scores) ranking.emplace_back(-score, knobs);
    std::sort(ranking.begin(), ranking.end());
    parents.clear();
    for (const auto& [score, knobs] : ranking) {
      if (parents.size() == static_cast<size_t>(options_.population)) break;
      parents.push_back(knobs);
    }
  }
  // Programs that differ in one knob are predicted alike: of such a cluster the batch takes no more than a few.
  const size_t begin = choice.programs().size();
  size_t by_model = 0;
  for (size_t i = 0; i < choice.missing(); ++i) by_model += random.uniform() >= options_.exploration;
  for (const int most_alike : {kAlike, std::numeric_limits<int>::max()})
    for (const auto& [score, knobs] : ranking) {
      if (choice.full() || choice.programs().size() - begin >= by_model) return;
      if (!choice.is_new(knobs)) continue;
      const auto alike = std::count_if(choice.programs().begin() + static_cast<long>(begin), choice.programs().end(),
                                       [&](const Knobs& other) { return differing(other, knobs) <= 1; });
      if (alike < most_alike) choice.add(knobs);
    }
}

/// Without a model: children of the best measured programs. With one, what it left.
void SubgraphTuner::choose_bred(Choice& choice, Random& random) const {
  const std::vector<Knobs> parents = contenders(static_cast<size_t>(options_.population));
  while (!choice.full()) {
    std::optional<Knobs> knobs = propose(choice, parents, random);
    if (!knobs) return;
    choice.add(std::move(*knobs));
  }
}

std::optional<Knobs> SubgraphTuner::propose(const Choice& choice, const std::vector<Knobs>& parents,
                                            Random& random) const {
  Knobs knobs =
      !parents.empty() && random.uniform() >= options_.exploration ? breed(parents, random) : space().random(random);
  for (int move = 0; move < kMoves; ++move) {
    if (choice.is_new(knobs)) return knobs;
    knobs = space().mutate(knobs, random);
  }
  for (int draw = 0; draw < kDraws; ++draw) {
    knobs = space().random(random);
    if (choice.is_new(knobs)) return knobs;
  }
  return std::nullopt;
}

/// Linear ranking: of m parents, best first, the k-th (k from 0) has weight m - k.
Knobs SubgraphTuner::breed(const std::vector<Knobs>& parents, Random& random) const {
  const auto parent = [&]() -> const Knobs& {
    const uint64_t m = parents.size();
    uint64_t ticket = random.below(m * (m + 1) / 2);
    uint64_t place = 0;
    for (; ticket >= m - place; ++place) ticket -= m - place;
    return parents[place];
  };
  const Knobs& first = parent();
  if (random.uniform() < options_.mutation) return space().mutate(first, random);
  return space().mutate(space().crossover(first, parent(), random), random);
}

/// What draws and moves did not find of a small space.
void SubgraphTuner::choose_rest(Choice& choice, Random& random) const {
  if (choice.full() || space().size() > kEnumerable) return;
  const std::vector<KnobSpec>& specs = space().knobs();
  std::vector<size_t> digits(specs.size(), 0);
  std::vector<Knobs> untried;
  for (bool more = true; more;) {
    Knobs knobs;
    for (size_t i = 0; i < specs.size(); ++i) knobs.push_back(specs[i].values[digits[i]]);
    if (choice.is_new(knobs) && space().why_illegal(knobs).empty()) untried.push_back(std::move(knobs));
    size_t digit = 0;
    while (digit < specs.size() && ++digits[digit] == specs[digit].values.size()) digits[digit++] = 0;
    more = digit < specs.size();
  }
  random.shuffle(untried);
  for (Knobs& knobs : untried) choice.add(std::move(knobs));
}

}  // namespace sonar
