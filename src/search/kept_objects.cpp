#include "search/kept_objects.h"

#include <algorithm>
#include <filesystem>

namespace sonar {
namespace {

constexpr size_t kFastest = 2;

}  // namespace

ObjectFile::~ObjectFile() {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

SharedObject KeptObjects::find(const SubgraphKey& subgraph, const Knobs& knobs) const {
  std::lock_guard lock(mutex_);
  const auto of_subgraph = kept_.find(subgraph);
  if (of_subgraph == kept_.end()) return nullptr;
  for (const Kept& kept : of_subgraph->second)
    if (kept.knobs == knobs) return kept.object;
  return nullptr;
}

void KeptObjects::offer(const SubgraphKey& subgraph, const Knobs& knobs, const SharedObject& object, double median_us) {
  std::lock_guard lock(mutex_);
  std::vector<Kept>& kept = kept_[subgraph];
  const auto known = std::find_if(kept.begin(), kept.end(), [&](const Kept& k) { return k.knobs == knobs; });
  if (known != kept.end()) {
    known->median_us = median_us;
  } else {
    std::error_code error;
    const size_t bytes = std::filesystem::file_size(object->path, error);
    if (error || bytes_ + bytes > most_bytes_) return;
    kept.push_back({knobs, object, median_us, bytes});
    bytes_ += bytes;
  }
  std::stable_sort(kept.begin() + 1, kept.end(),
                   [](const Kept& a, const Kept& b) { return a.median_us < b.median_us; });
  if (kept.size() > 1 + kFastest) {
    bytes_ -= kept.back().bytes;
    kept.pop_back();
  }
}

}  // namespace sonar
