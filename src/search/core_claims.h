// Which cores are quiet: while programs are timed on a core, nothing else of ours may run there.
#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <vector>

namespace sonar {

/// Work may share a core with other work; timing shares its cores with nothing. Timing goes first: work that asks for a
/// core that timing waits for has to wait until that is over. Callable from any thread.
class CoreClaims {
 public:
  /// Held while the work or the timing goes on. Movable; the destructor gives the cores back.
  class Claim {
   public:
    Claim() = default;
    Claim(Claim&& other) noexcept { *this = std::move(other); }
    Claim& operator=(Claim&& other) noexcept;
    ~Claim() { release(); }
    void release();

   private:
    friend class CoreClaims;
    CoreClaims* owner_ = nullptr;
    std::vector<int> cores_;
    bool timing_ = false;
  };

  /// Waits until no program is timed on any of the cores.
  Claim for_work(const std::vector<int>& cores);
  /// Waits until nothing runs on the cores.
  Claim for_timing(const std::vector<int>& cores);
  /// Nobody waits any longer, now or later: the end has come, and times mean nothing now.
  void close();

 private:
  struct Core {
    int working = 0, wanted = 0;
    bool timing = false;
  };
  void release(const std::vector<int>& cores, bool timing);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Core> cores_;
  bool closed_ = false;
};

}  // namespace sonar
