#include "search/core_claims.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace sonar {
namespace {

TEST(CoreClaims, NothingWorksOnACoreThatIsTimed) {
  CoreClaims claims;
  std::atomic<int> working[2] = {0, 0};
  std::atomic<bool> timing[2] = {false, false}, clash = false, stop = false;
  std::vector<std::thread> threads;
  for (int core : {0, 1, 1})
    threads.emplace_back([&, core] {
      while (!stop) {
        const CoreClaims::Claim claim = claims.for_work({core});
        ++working[core];
        clash = clash || timing[core];
        std::this_thread::yield();
        clash = clash || timing[core];
        --working[core];
      }
    });
  std::atomic<int> timed = 0;
  for (const std::vector<int>& cores : {std::vector<int>{1}, {0, 1}})
    threads.emplace_back([&, cores] {
      for (int i = 0; i < 200; ++i) {
        const CoreClaims::Claim claim = claims.for_timing(cores);
        for (int core : cores) clash = clash || timing[core].exchange(true) || working[core] > 0;
        std::this_thread::yield();
        for (int core : cores) clash = clash || working[core] > 0, timing[core] = false;
        ++timed;
      }
    });
  threads[3].join();
  threads[4].join();
  stop = true;
  for (int i = 0; i < 3; ++i) threads[static_cast<size_t>(i)].join();
  EXPECT_FALSE(clash);
  EXPECT_EQ(timed, 400);  // work never starves timing
}

TEST(CoreClaims, ClosingEndsEveryWait) {
  CoreClaims claims;
  CoreClaims::Claim timing = claims.for_timing({0});
  std::thread waits_for_work([&] { claims.for_work({0}); });
  std::thread waits_for_timing([&] { claims.for_timing({0, 1}); });
  claims.close();
  waits_for_work.join();
  waits_for_timing.join();
}

TEST(CoreClaims, AMovedClaimIsGivenBackOnce) {
  CoreClaims claims;
  CoreClaims::Claim first = claims.for_timing({0});
  CoreClaims::Claim second = std::move(first);
  first.release();
  second.release();
  second.release();
  claims.for_work({0}).release();
  claims.for_timing({0}).release();
}

}  // namespace
}  // namespace sonar
