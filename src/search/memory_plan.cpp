#include "search/memory_plan.h"

#include <algorithm>

namespace sonar {
namespace {

constexpr long kLine = 32, kPage = 1024;  // floats: 128 bytes, 4 KiB

struct Life {
  int value = 0;
  size_t born = 0, last_read = 0;  // indices of uses
  ValuePlace place;
  bool meets(const Life& other) const { return born <= other.last_read && other.born <= last_read; }
};

/// The first place at `from` or after it. Values that all began at the same offset in their pages would fight for the
/// same cache sets, and their loads would seem to depend on each other's stores.
long place_after(long from, size_t number) {
  const long within = static_cast<long>(number * 5 % static_cast<size_t>(kPage / kLine)) * kLine;
  return (from - within + kPage - 1) / kPage * kPage + within;
}

std::vector<Life> lives_of(const std::vector<SubgraphUse>& uses) {
  std::vector<Life> lives;
  std::map<int, size_t> index;
  const auto read = [&](int value, long floats, size_t when) {
    const auto [entry, added] = index.emplace(value, lives.size());
    if (added) lives.push_back({value, 0, 0, {0, floats, true}});
    lives[entry->second].last_read = when;
  };
  for (size_t i = 0; i < uses.size(); ++i) {
    const Subgraph& s = uses[i].subgraph;
    read(uses[i].input, long{s.batch} * s.height * s.width * s.in_channels, i);
    if (uses[i].residual >= 0) read(uses[i].residual, s.second_input_elements(), i);
    index[uses[i].output] = lives.size();
    lives.push_back(
        {uses[i].output, i, i, {0, long{s.batch} * s.out_height() * s.out_width() * s.out_channels, false}});
  }
  return lives;
}

}  // namespace

MemoryPlan::MemoryPlan(const std::vector<SubgraphUse>& uses) {
  std::vector<Life> lives = lives_of(uses);
  std::vector<size_t> order;
  for (size_t i = 0; i < lives.size(); ++i)
    if (!lives[i].place.outside) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lives[a].place.floats > lives[b].place.floats; });
  std::vector<size_t> placed;
  for (size_t i : order) {
    ValuePlace& place = lives[i].place;
    std::vector<const ValuePlace*> taken;
    for (size_t other : placed)
      if (lives[other].meets(lives[i])) taken.push_back(&lives[other].place);
    std::sort(taken.begin(), taken.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    place.offset = place_after(0, i);
    for (const ValuePlace* other : taken) {
      if (place.offset + place.floats <= other->offset) break;
      place.offset = std::max(place.offset, place_after(other->offset + other->floats, i));
    }
    placed.push_back(i);
    floats_ = std::max(floats_, place.offset + place.floats);
  }
  floats_without_inputs_ = floats_;
  for (size_t i = 0; i < lives.size(); ++i) {
    ValuePlace& place = lives[i].place;
    if (place.outside) {
      place.offset = place_after(floats_, i);
      floats_ = place.offset + place.floats;
    }
    places_[lives[i].value] = place;
  }
}

}  // namespace sonar
