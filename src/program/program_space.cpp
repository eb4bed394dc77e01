#include "program/program_space.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include "model/error.h"
#include "program/space_kinds.h"

namespace sonar {
namespace {

constexpr int kRandomTries = 2000;
constexpr int kMoveTries = 200;
constexpr double kMostCounted = 1e6;  // knob vectors
constexpr long kDraws = 400000;

int index_of(const std::vector<int>& values, int value) {
  return static_cast<int>(std::lower_bound(values.begin(), values.end(), value) - values.begin());
}

/// Another value of one knob: half of the time a neighbour, because good programs lie close together.
int another_value(const KnobSpec& spec, int value, Random& random) {
  const int count = static_cast<int>(spec.values.size());
  const int at = index_of(spec.values, value);
  int next;
  if (random.below(2) == 0) {
    next = at + (random.below(2) == 0 ? 1 : -1);
    if (next < 0) next = 1;
    if (next >= count) next = count - 2;
  } else {
    next = static_cast<int>(random.below(count - 1));
    if (next >= at) ++next;
  }
  return spec.values[next];
}

/// Between two values of one knob; zero is a choice of its own in most knobs, hence the offset.
double steps_between(int a, int b) { return std::abs(std::log2((a + 1.0) / (b + 1.0))); }

}  // namespace

double ProgramSpace::size() const {
  double size = 1;
  for (const KnobSpec& spec : knobs()) size *= static_cast<double>(spec.values.size());
  return size;
}

double ProgramSpace::legal_size() const {
  long legal = 0;
  Knobs values(knobs().size());
  if (size() <= kMostCounted) {
    for (long vector = 0, end = std::lround(size()); vector < end; ++vector) {
      long rest = vector;
      for (size_t i = 0; i < values.size(); ++i) {
        const std::vector<int>& all = knobs()[i].values;
        values[i] = all[rest % all.size()];
        rest /= static_cast<long>(all.size());
      }
      legal += why_illegal(values).empty();
    }
    return double(legal);
  }
  Random random(1);
  for (long draw = 0; draw < kDraws; ++draw) {
    for (size_t i = 0; i < values.size(); ++i) {
      const std::vector<int>& all = knobs()[i].values;
      values[i] = all[random.below(all.size())];
    }
    legal += why_illegal(values).empty();
  }
  return size() * double(legal) / kDraws;
}

Knobs ProgramSpace::random(Random& random) const {
  Knobs result(knobs().size());
  for (int attempt = 0; attempt < kRandomTries; ++attempt) {
    for (size_t i = 0; i < result.size(); ++i) {
      const std::vector<int>& values = knobs()[i].values;
      result[i] = values[random.below(values.size())];
    }
    settle(result);
    if (why_illegal(result).empty()) return result;
  }
  result = default_program();
  for (int step = 0; step < 32; ++step) result = mutate(result, random);
  return result;
}

Knobs ProgramSpace::mutate(const Knobs& parent, Random& random) const {
  std::vector<size_t> movable;
  for (size_t i = 0; i < knobs().size(); ++i)
    if (knobs()[i].values.size() > 1) movable.push_back(i);
  if (movable.empty()) return parent;
  for (int attempt = 0; attempt < kMoveTries; ++attempt) {
    Knobs child = parent;
    // One knob mostly; two or three reach programs whose single steps are illegal.
    const uint64_t draw = random.below(10);
    const int steps = draw < 6 ? 1 : draw < 9 ? 2 : 3;
    for (int step = 0; step < steps; ++step) {
      const size_t knob = movable[random.below(movable.size())];
      child[knob] = another_value(knobs()[knob], child[knob], random);
    }
    settle(child);
    if (child != parent && why_illegal(child).empty()) return child;
  }
  return parent;
}

Knobs ProgramSpace::crossover(const Knobs& a, const Knobs& b, Random& random) const {
  for (int attempt = 0; attempt < kMoveTries; ++attempt) {
    Knobs child = a;
    for (size_t i = 0; i < child.size(); ++i)
      if (random.below(2) == 0) child[i] = b[i];
    if (why_illegal(child).empty()) return child;
  }
  return random.below(2) == 0 ? a : b;
}

Knobs ProgramSpace::closest_legal(const std::vector<std::pair<std::string, int>>& named) const {
  const std::vector<KnobSpec>& specs = knobs();
  const Knobs fallback = default_program();
  Knobs wanted = fallback;
  for (size_t i = 0; i < specs.size(); ++i)
    for (const auto& [name, value] : named)
      if (name == specs[i].name && value >= 0)
        wanted[i] = *std::min_element(specs[i].values.begin(), specs[i].values.end(),
                                      [v = value](int a, int b) { return steps_between(a, v) < steps_between(b, v); });
  if (why_illegal(wanted).empty()) return wanted;

  struct Move {
    size_t knob;
    int value;
    double cost;
  };
  std::vector<Move> moves;
  for (size_t i = 0; i < specs.size(); ++i)
    for (int value : specs[i].values)
      if (value != wanted[i]) moves.push_back({i, value, steps_between(value, wanted[i])});
  std::stable_sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.cost < b.cost; });
  Knobs best;
  double least = std::numeric_limits<double>::infinity();
  for (const Move& first : moves) {
    if (first.cost >= least) break;
    Knobs moved = wanted;
    moved[first.knob] = first.value;
    if (why_illegal(moved).empty()) best = moved, least = first.cost;
    for (const Move& second : moves) {
      if (first.cost + second.cost >= least) break;
      if (second.knob <= first.knob) continue;
      Knobs twice = moved;
      twice[second.knob] = second.value;
      if (why_illegal(twice).empty()) best = std::move(twice), least = first.cost + second.cost;
    }
  }
  if (!best.empty()) return best;
  // Rarely, more than two knobs are in each other's way: the default's values take over one by one.
  for (size_t i = 0; i < specs.size() && !why_illegal(wanted).empty(); ++i) wanted[i] = fallback[i];
  return wanted;
}

std::string ProgramSpace::to_text(const Knobs& values) const {
  if (values.size() != knobs().size())
    throw InternalError("a knob vector of another program space: " + subgraph().key());
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ' ';
    text += knobs()[i].name + "=" + std::to_string(values[i]);
  }
  return text;
}

Knobs ProgramSpace::from_text(const std::string& text) const {
  Knobs result(knobs().size());
  std::vector<bool> seen(knobs().size(), false);
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto spec = std::find_if(knobs().begin(), knobs().end(), [&](const KnobSpec& s) { return s.name == name; });
    if (equals == std::string::npos || spec == knobs().end())
      throw UserError("'" + word + "' names no knob of " + subgraph().key() +
                      "; write NAME=VALUE for each of its knobs");
    const size_t i = spec - knobs().begin();
    if (seen[i]) throw UserError("knob '" + name + "' is given twice");
    int value = 0;
    const char* end = word.data() + word.size();
    const auto [parsed, error] = std::from_chars(word.data() + equals + 1, end, value);
    if (error != std::errc{} || parsed != end || !std::binary_search(spec->values.begin(), spec->values.end(), value)) {
      std::string allowed;
      for (int v : spec->values) allowed += (allowed.empty() ? "" : ", ") + std::to_string(v);
      throw UserError("knob '" + name + "' cannot be '" + word.substr(equals + 1) + "'; its values are " + allowed);
    }
    result[i] = value;
    seen[i] = true;
  }
  for (size_t i = 0; i < seen.size(); ++i)
    if (!seen[i]) throw UserError("knob '" + knobs()[i].name + "' is missing in '" + text + "'");
  return result;
}

Target narrower(Target target) {
  target.vector_floats = 8;
  target.registers = 16;
  target.native_units = 2;
  target.avx2 = false;
  return target;
}

std::unique_ptr<ProgramSpace> make_program_space(const Subgraph& subgraph, const Target& target) {
  if (subgraph.height + 2 * subgraph.padding < subgraph.kernel ||
      subgraph.width + 2 * subgraph.padding < subgraph.kernel)
    throw UserError(subgraph.key() + ": the kernel is larger than the padded input");
  switch (subgraph.kind) {
    case SubgraphKind::conv:
      return make_conv_space(subgraph, target);
    case SubgraphKind::depthwise:
      return make_depthwise_space(subgraph, target);
    case SubgraphKind::pool:
      return make_pool_space(subgraph, target);
    case SubgraphKind::dense:
      return make_dense_space(subgraph, target);
    case SubgraphKind::squeeze_excite:
      return make_squeeze_excite_space(subgraph, target);
    case SubgraphKind::max_pool:
    case SubgraphKind::average_pool:
      return make_window_pool_space(subgraph, target);
    case SubgraphKind::add:
    case SubgraphKind::multiply:
    case SubgraphKind::scale:
    case SubgraphKind::activate:
    case SubgraphKind::concat:
    case SubgraphKind::resize:
      return make_elementwise_space(subgraph, target);
    case SubgraphKind::fused_depthwise:
      return make_fused_depthwise_space(subgraph, target);
  }
  throw InternalError("unknown subgraph kind");
}

}  // namespace sonar
