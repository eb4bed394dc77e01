// Where programs are measured. A batch of compiled programs is linked with a small static runner into one executable,
// carried to the device and run there; the runner knows nothing of convolutions: it calls functions on buffers, checks
// one output against expected values, looks after red zones, and takes times.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/measurement.h"

namespace sonar {

/// A float32 tensor, extents innermost first (Halide's order), dense.
struct BufferSpec {
  enum class Fill { zero, random, file };
  std::vector<int> extents;
  Fill fill = Fill::random;
  uint64_t seed = 0;  // of `random`: values of random_values(seed, count, scale) (device/random_values.h)
  float scale = 1;
  std::string path;  // of `file`: raw little-endian float32, taken before `block` is applied
  /// Weights: the values are given as [outer][inner], outer = `rows`; stored as [ceil(rows/block)][inner][block],
  /// zero padded. 0: stored as given. `extents` are those of the stored form.
  int block = 0;
  int rows = 0;
  /// Weights whose inner values are runs of `run` (0: one run) cut into units of `unit` values that stay together, the
  /// last unit of a run zero padded: stored as [ceil(rows/block)][runs * ceil(run/unit)][block][unit].
  int run = 0;
  int unit = 1;
  /// 4, 5, 6 or 9: `rows` 3x3 kernels are given, [3][3][channels] each, and stored, packed by `block`, as
  /// winograd_weights() (device/winograd_weights.h) makes them of so many points per side. 0: stored as given.
  int winograd_points = 0;
  /// >= 0: the buffer is a part of that one, an earlier buffer of the case, `offset` values after its start; its own
  /// `fill` means nothing then.
  int inside = -1;
  long offset = 0;
  /// Of a case with a context, for each of so many equal parts of the buffer: bytes of other data that a network
  /// touches between its last touch of this memory and the call. Each part is written that long before each timed call.
  /// Empty: none is, as weights.
  std::vector<long> reuse_bytes;
};

/// Values of a tensor of these extents.
inline size_t value_count(const std::vector<int>& extents) {
  size_t result = 1;
  for (int extent : extents) result *= static_cast<size_t>(extent);
  return result;
}

/// One call: function(buffers...). Functions have Halide's argv calling convention.
struct CallSpec {
  int function = 0;          // index into Batch::functions
  std::vector<int> buffers;  // indices into Case::buffers, in the function's order; the output is the last one
};

/// A context larger than this would take longer to read than measuring is worth.
inline constexpr long kMostContextBytes = 128L << 20;

/// Likewise; by then others of the processor have had their share of its caches (docs/devices.md).
inline constexpr double kMostContextUs = 6000;

/// What is timed as one: one program, or all the calls of a network in order.
struct Case {
  std::vector<BufferSpec> buffers;
  std::vector<CallSpec> calls;
  int checked_buffer = 0;       // index of the buffer compared with `expected`
  std::vector<float> expected;  // empty: not checked
  float tolerance = 1e-4f;      // |got - expected| <= tolerance * (1 + |expected|)
  double best_us = 0;           // > 0: stop early when clearly slower than this
  double time_limit_s = 10;     // of the whole case
  double sample_us = 100;       // shortest burst that makes a sample
  int max_samples = 30;         // 1..2000
  double sampling_s = 0.03;     // enough measuring; stops before when the spread of 5 samples or more is < 2 %
  /// >= 0: so much other data is read before every timed call, untimed, as the rest of a network would; each call is
  /// timed alone, and a sample is the mean of some that nothing disturbed. < 0: calls follow each other, and a sample
  /// is the mean of a burst.
  long context_bytes = -1;
  double context_us = 0;  // reading it takes at least so long, at an even pace, as the rest of a network takes its time
};

struct Batch {
  std::vector<std::string> objects;  // object files, linked once each
  /// Names, without repetition. NAME is called through `int NAME_argv(void** args)`, which Halide puts beside each
  /// function: args[i] points to the halide_buffer_t of the i-th buffer; a result other than 0 is a failure.
  std::vector<std::string> functions;
  std::vector<Case> cases;
};

struct DeviceOptions {
  std::vector<int> cores;  // programs run on the first `threads`; empty: not pinned
  int threads = 1;
  std::vector<int> link_cores;   // the linker runs on these; empty: on `cores`, between programs
  std::string compiler = "c++";  // links the runner; may hold arguments. Any other than this build's compiles it first
  std::string work_folder;       // for runner executables and data; made when missing
  std::string runtime_object;    // Halide's standalone runtime for the target; empty: not linked
  std::string halide_include;    // folder of HalideRuntime.h
};

class Device {
 public:
  virtual ~Device() = default;
  /// Outcomes in the order of the cases. `done(i, outcome)` is called as each arrives, on the caller's thread, so that
  /// nothing measured is lost when the process dies. Callable from several threads, though they disturb each other.
  /// `before_running()` is called when the batch is linked, before any of it runs. Never throws for a program's fault;
  /// throws EnvironmentError when the toolchain is missing or the disk is full.
  virtual std::vector<Outcome> measure(const Batch& batch, const std::function<void(size_t, const Outcome&)>& done = {},
                                       const std::function<void()>& before_running = {}) = 0;
  /// CPU model, cores, caches: part of the identity of a record ("AMD EPYC, 2 cores").
  virtual std::string description() const = 0;
};

/// This machine.
std::unique_ptr<Device> make_local_device(const DeviceOptions& options);

/// Median / minimum / spread of samples.
Measurement summarize(std::vector<double> samples_us, long runs, bool stopped_early);

}  // namespace sonar
