#include "search/core_claims.h"

#include <algorithm>
#include <utility>

namespace sonar {

CoreClaims::Claim& CoreClaims::Claim::operator=(Claim&& other) noexcept {
  if (this == &other) return *this;
  release();
  owner_ = std::exchange(other.owner_, nullptr);
  cores_ = std::move(other.cores_);
  timing_ = other.timing_;
  return *this;
}

void CoreClaims::Claim::release() {
  if (CoreClaims* owner = std::exchange(owner_, nullptr)) owner->release(cores_, timing_);
}

CoreClaims::Claim CoreClaims::for_work(const std::vector<int>& cores) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return closed_ || std::none_of(cores.begin(), cores.end(),
                                   [&](int core) { return cores_[core].timing || cores_[core].wanted > 0; });
  });
  for (int core : cores) ++cores_[core].working;
  Claim claim;
  claim.owner_ = this;
  claim.cores_ = cores;
  return claim;
}

CoreClaims::Claim CoreClaims::for_timing(const std::vector<int>& cores) {
  std::unique_lock lock(mutex_);
  for (int core : cores) ++cores_[core].wanted;
  changed_.wait(lock, [&] {
    return closed_ || std::none_of(cores.begin(), cores.end(),
                                   [&](int core) { return cores_[core].timing || cores_[core].working > 0; });
  });
  for (int core : cores) {
    --cores_[core].wanted;
    cores_[core].timing = true;
  }
  Claim claim;
  claim.owner_ = this;
  claim.cores_ = cores;
  claim.timing_ = true;
  return claim;
}

void CoreClaims::release(const std::vector<int>& cores, bool timing) {
  {
    std::lock_guard lock(mutex_);
    for (int core : cores) {
      if (timing)
        cores_[core].timing = false;
      else
        --cores_[core].working;
    }
  }
  changed_.notify_all();
}

void CoreClaims::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace sonar
