// Runs a batch of compiled programs on the device and says how long each takes. It knows nothing of what they compute.
//
//   runner BATCH FIRST
//
// BATCH is a file written by device/batch_file.cpp; cases from number FIRST on are run. Each runs in a process of its
// own, so a crash or an endless loop costs that case only. On stdout, one line each, flushed at once:
//
//   sonar-runner 1
//   start I
//   ok I RUNS STOPPED_EARLY SAMPLE_US...       or       error I KIND MESSAGE     (KIND: a number of MeasureErrorKind)
//   end
//
// It is linked statically and must compile as C++17 without exceptions, with nothing at hand but a C++ library.
#include <HalideRuntime.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "device/quantile.h"
#include "device/random_values.h"
#include "device/winograd_weights.h"
#include "model/measurement.h"

extern "C" {
// The table of this batch's functions, made when it is linked.
typedef int (*sonar_function)(void**);
extern const sonar_function sonar_functions[];
extern const int sonar_function_count;

// Weak: objects that are not Halide's come without its runtime.
__attribute__((weak)) halide_error_handler_t halide_set_error_handler(halide_error_handler_t handler);
__attribute__((weak)) int halide_set_num_threads(int n);
__attribute__((weak)) int halide_do_par_for(void* context, halide_task_t task, int min, int size, uint8_t* closure);
}

namespace {

using sonar::MeasureErrorKind;

constexpr size_t zone_bytes = 4096;  // watched on either side of each buffer
constexpr unsigned char zone_byte = 0xd3;
constexpr size_t alignment = 128;  // of buffers
constexpr size_t line_bytes = 64;  // no cache line is shorter
constexpr size_t large_page = 2u << 20;
constexpr size_t most_calls = 64;  // in one sample of calls that are timed alone
constexpr double clock_step_us = 0.01;
constexpr double program_memory_bytes = 4.0 * (1u << 30);  // that a program may allocate for itself
constexpr double clearly_slower = 1.5;                     // than the best known: no more samples
constexpr double small_spread = 0.02;
constexpr size_t enough_samples = 5;  // for that spread to mean something
constexpr size_t fewest_samples = 3;  // when the sampling time is over

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string text(const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

double now_us() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

// ---- The batch file ------------------------------------------------------------------------------------------------

struct Buffer {
  std::vector<int> extents;
  char fill = 'z';  // zero, random, file
  uint64_t seed = 0;
  float scale = 1;
  size_t block = 0, rows = 0, run = 0, unit = 1, winograd_points = 0;
  int inside = -1;  // of the buffers, >= 0: it lies in that one
  size_t offset = 0;
  std::vector<long> reuse_bytes;  // of equal parts; empty: not touched between calls
  std::string path;
  size_t count = 1;  // product of extents
};

struct Call {
  int function = 0;
  std::vector<int> buffers;
};

struct Case {
  std::vector<Buffer> buffers;
  std::vector<Call> calls;
  int checked_buffer = 0;
  const float* expected = nullptr;
  double tolerance = 0, best_us = 0, time_limit_s = 0, sample_us = 0, sampling_s = 0;
  size_t max_samples = 0;
  long context_bytes = -1;  // < 0: calls follow each other in bursts
  double context_us = 0;
};

struct Batch {
  int threads = 1;
  size_t file_bytes = 0;
  std::vector<Case> cases;
};

[[noreturn]] void refuse(const std::string& reason) {
  printf("fatal %s\n", reason.c_str());
  fflush(stdout);
  exit(2);
}

class Words {
 public:
  Words(const char* begin, const char* end) : at_(begin), end_(end) {}

  std::string word() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n')) ++at_;
    const char* begin = at_;
    while (at_ < end_ && *at_ != ' ' && *at_ != '\n') ++at_;
    if (begin == at_) refuse("the batch file is cut short");
    return std::string(begin, at_);
  }
  void expect(const char* name) {
    const std::string found = word();
    if (found != name) refuse("the batch file holds " + found + " where " + name + " is due");
  }
  long integer() { return strtol(word().c_str(), nullptr, 10); }
  uint64_t seed() { return strtoull(word().c_str(), nullptr, 10); }
  double real() { return strtod(word().c_str(), nullptr); }
  std::string raw(size_t bytes) {
    ++at_;
    if (static_cast<size_t>(end_ - at_) < bytes) refuse("the batch file is cut short");
    const std::string result(at_, bytes);
    at_ += bytes;
    return result;
  }

 private:
  const char* at_;
  const char* end_;
};

Buffer parse_buffer(Words& words) {
  Buffer buffer;
  words.expect("buffer");
  buffer.fill = words.word()[0];
  buffer.seed = words.seed();
  buffer.scale = static_cast<float>(words.real());
  buffer.block = static_cast<size_t>(words.integer());
  buffer.rows = static_cast<size_t>(words.integer());
  buffer.run = static_cast<size_t>(words.integer());
  buffer.unit = static_cast<size_t>(words.integer());
  buffer.winograd_points = static_cast<size_t>(words.integer());
  buffer.inside = static_cast<int>(words.integer());
  buffer.offset = static_cast<size_t>(words.integer());
  buffer.reuse_bytes.resize(static_cast<size_t>(words.integer()));
  for (long& bytes : buffer.reuse_bytes) bytes = words.integer();
  buffer.extents.resize(static_cast<size_t>(words.integer()));
  for (int& extent : buffer.extents) {
    extent = static_cast<int>(words.integer());
    buffer.count *= static_cast<size_t>(extent);
  }
  const size_t path_bytes = static_cast<size_t>(words.integer());
  if (path_bytes > 0) buffer.path = words.raw(path_bytes);
  return buffer;
}

Batch read_batch(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) refuse(text("cannot read %s: %s", path, strerror(errno)));
  Batch batch;
  batch.file_bytes = static_cast<size_t>(status.st_size);
  void* memory = mmap(nullptr, batch.file_bytes, PROT_READ, MAP_PRIVATE, file, 0);
  if (memory == MAP_FAILED) refuse(text("cannot map %s: %s", path, strerror(errno)));
  close(file);

  const char* bytes = static_cast<const char*>(memory);
  Words head(bytes, bytes + std::min<size_t>(batch.file_bytes, 64));
  head.expect("sonar-batch");
  head.expect("5");
  const size_t text_bytes = static_cast<size_t>(head.integer());
  if (text_bytes > batch.file_bytes) refuse("the batch file is cut short");
  Words words(bytes, bytes + text_bytes);
  for (int i = 0; i < 3; ++i) words.word();

  words.expect("threads");
  batch.threads = static_cast<int>(words.integer());
  words.expect("expected");
  std::vector<const float*> expected(static_cast<size_t>(words.integer()));
  size_t offset = text_bytes;
  for (const float*& values : expected) {
    values = reinterpret_cast<const float*>(bytes + offset);
    offset += static_cast<size_t>(words.integer()) * sizeof(float);
  }
  if (offset != batch.file_bytes) refuse("the batch file is cut short");

  words.expect("cases");
  batch.cases.resize(static_cast<size_t>(words.integer()));
  for (Case& c : batch.cases) {
    words.expect("case");
    c.buffers.resize(static_cast<size_t>(words.integer()));
    c.calls.resize(static_cast<size_t>(words.integer()));
    c.checked_buffer = static_cast<int>(words.integer());
    const long which = words.integer();
    if (which >= static_cast<long>(expected.size())) refuse("a case names expected values that are not there");
    c.expected = which < 0 ? nullptr : expected[static_cast<size_t>(which)];
    c.tolerance = words.real();
    c.best_us = words.real();
    c.time_limit_s = words.real();
    c.sample_us = words.real();
    c.max_samples = static_cast<size_t>(words.integer());
    c.sampling_s = words.real();
    c.context_bytes = words.integer();
    c.context_us = words.real();
    for (Buffer& buffer : c.buffers) buffer = parse_buffer(words);
    for (Call& call : c.calls) {
      words.expect("call");
      call.function = static_cast<int>(words.integer());
      if (call.function >= sonar_function_count) refuse("the batch file is not this runner's");
      call.buffers.resize(static_cast<size_t>(words.integer()));
      for (int& buffer : call.buffers) buffer = static_cast<int>(words.integer());
    }
  }
  return batch;
}

// ---- The child's one line ------------------------------------------------------------------------------------------

int result_pipe = -1;

[[noreturn]] void finish(std::string line) {
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  line += '\n';
  const ssize_t written = write(result_pipe, line.data(), line.size());
  _exit(written == static_cast<ssize_t>(line.size()) ? 0 : 1);
}

[[noreturn]] void finish_error(MeasureErrorKind kind, const std::string& message) {
  finish("error " + std::to_string(static_cast<int>(kind)) + " " + message);
}

// ---- Buffers -------------------------------------------------------------------------------------------------------

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// The memory of one buffer: a zone of known bytes, the values, another zone.
struct Region {
  unsigned char* zone_begin = nullptr;
  unsigned char* data = nullptr;
  unsigned char* data_end = nullptr;
  unsigned char* zone_end = nullptr;
  size_t bytes = 0;
  uint64_t checksum = 0;
};

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Of a region with zones, whole pages.
size_t region_bytes(size_t bytes, size_t offset) {
  return round_up(zone_bytes + offset + bytes + zone_bytes, page_bytes());
}

Region make_region(unsigned char* memory, size_t bytes, size_t offset) {
  Region region;
  region.bytes = bytes;
  region.zone_begin = memory;
  region.zone_end = memory + region_bytes(bytes, offset);
  region.data = region.zone_begin + zone_bytes + offset;
  region.data_end = region.data + bytes;
  memset(region.zone_begin, zone_byte, zone_bytes + offset);
  memset(region.data_end, zone_byte, static_cast<size_t>(region.zone_end - region.data_end));
  return region;
}

/// A part of one, which the zones of the whole look after.
Region part_of(const Region& whole, size_t offset, size_t bytes) {
  Region region;
  region.bytes = bytes;
  region.data = whole.data + offset;
  region.data_end = region.data + bytes;
  region.zone_begin = region.data;
  region.zone_end = region.data_end;
  return region;
}

/// Memory between two inaccessible pages; it begins at a multiple of `unit`, itself one of the page.
unsigned char* guarded_memory(size_t bytes, size_t unit) {
  const size_t page = page_bytes(), all = bytes + unit + 2 * page;
  void* memory = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) finish_error(MeasureErrorKind::device_unreachable, "no memory for the buffers");
  unsigned char* begin = reinterpret_cast<unsigned char*>(round_up(reinterpret_cast<size_t>(memory) + page, unit));
  if (mprotect(begin, bytes, PROT_READ | PROT_WRITE) != 0) {
    finish_error(MeasureErrorKind::device_unreachable, "no memory for the buffers");
  }
  return begin;
}

uint64_t checksum(const unsigned char* bytes, size_t count) {
  uint64_t sum = 0xcbf29ce484222325u;
  for (size_t i = 0; i + 4 <= count; i += 4) {  // buffers hold float32
    uint32_t word;
    memcpy(&word, bytes + i, sizeof word);
    sum = (sum ^ word) * 0x100000001b3u;
  }
  return sum;
}

void read_values(const std::string& path, float* values, size_t count) {
  FILE* file = fopen(path.c_str(), "rb");
  if (!file)
    finish_error(MeasureErrorKind::device_unreachable, text("cannot read %s: %s", path.c_str(), strerror(errno)));
  const size_t read = fread(values, sizeof(float), count, file);
  if (read != count) {
    finish_error(MeasureErrorKind::device_unreachable,
                 text("%s holds %zu values where %zu are needed", path.c_str(), read, count));
  }
  fclose(file);
}

void fill(const Buffer& buffer, const Region& region) {
  float* stored = reinterpret_cast<float*>(region.data);
  const size_t blocks = buffer.block ? (buffer.rows + buffer.block - 1) / buffer.block : 0;
  const size_t stored_inner = buffer.block ? buffer.count / (blocks * buffer.block) : 0;
  const size_t run = buffer.run ? buffer.run : std::max<size_t>(stored_inner, 1);
  const size_t stored_run = (run + buffer.unit - 1) / buffer.unit * buffer.unit;
  const size_t inner = stored_inner / stored_run * run;
  const size_t given_count = buffer.block ? buffer.rows * inner : buffer.count;
  const size_t points = buffer.winograd_points;
  const size_t channels = points ? inner / (points * points) : 0;
  std::vector<float> kernels(buffer.rows * 9 * channels), unpacked(buffer.block ? given_count : 0);
  float* given = buffer.block ? unpacked.data() : stored;
  float* values = points ? kernels.data() : given;
  const size_t value_count = points ? kernels.size() : given_count;
  if (buffer.fill == 'r') sonar::random_values(buffer.seed, value_count, buffer.scale, values);
  if (buffer.fill == 'f') read_values(buffer.path, values, value_count);
  if (points) sonar::winograd_weights(static_cast<int>(points), buffer.rows, channels, values, given);
  if (buffer.block) {  // stored[b][i / unit][j][i % unit] = given[b * block + j][i]; what is left is zero, as mapped
    for (size_t row = 0; row < buffer.rows; ++row) {
      float* column = stored + row / buffer.block * stored_inner * buffer.block + row % buffer.block * buffer.unit;
      for (size_t i = 0; i < inner; ++i) {
        const size_t at = i / run * stored_run + i % run;
        column[at / buffer.unit * buffer.unit * buffer.block + at % buffer.unit] = given[row * inner + i];
      }
    }
  }
}

// ---- A case ready to run -------------------------------------------------------------------------------------------

// Memory that is written between calls.
struct Part {
  size_t buffer = 0, begin = 0, end = 0;  // bytes
  size_t since = 0;                       // bytes of the context between that and the call
};

struct Prepared {
  std::vector<Region> regions;
  std::vector<char> written;  // by some call; other buffers must keep their values
  std::vector<char> results;  // written, and begun as zeros: what they hold comes from the calls alone
  std::vector<std::vector<halide_dimension_t>> dimensions;
  std::vector<halide_buffer_t> descriptors;
  std::vector<std::vector<void*>> arguments;  // of each call
  std::vector<Part> touched;                  // between calls, the one touched longest ago first
};

Prepared prepare(const Case& c) {
  Prepared p;
  const size_t n = c.buffers.size();
  p.written.assign(n, 0);
  for (const Call& call : c.calls) {
    const int output = call.buffers.back(), inside = c.buffers[static_cast<size_t>(output)].inside;
    p.written[static_cast<size_t>(output)] = 1;
    if (inside >= 0) p.written[static_cast<size_t>(inside)] = 1;
  }
  p.results = p.written;
  for (size_t i = 0; i < n; ++i) p.results[i] = p.results[i] && c.buffers[i].fill == 'z';
  p.dimensions.resize(n);
  p.descriptors.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const Buffer& buffer = c.buffers[i];
    // Buffers that all began at the same offset in their pages would fight for the same cache sets, which those of a
    // network, cut from one arena, do not.
    const size_t offset = i * 5 % 32 * alignment;
    const size_t bytes = buffer.count * sizeof(float);
    if (buffer.inside >= 0) {
      p.regions.push_back(part_of(p.regions[static_cast<size_t>(buffer.inside)], buffer.offset * sizeof(float), bytes));
      p.results[i] = 0;  // what it lies in is one
    } else {
      p.regions.push_back(make_region(guarded_memory(region_bytes(bytes, offset), page_bytes()), bytes, offset));
      fill(buffer, p.regions[i]);
    }
    p.regions[i].checksum = checksum(p.regions[i].data, p.regions[i].bytes);

    int stride = 1;
    for (int extent : buffer.extents) {
      halide_dimension_t dimension{};
      dimension.extent = extent;
      dimension.stride = stride;
      p.dimensions[i].push_back(dimension);
      stride *= extent;
    }
    halide_buffer_t& descriptor = p.descriptors[i];
    memset(static_cast<void*>(&descriptor), 0, sizeof descriptor);
    descriptor.host = p.regions[i].data;
    descriptor.type.code = halide_type_float;
    descriptor.type.bits = 32;
    descriptor.type.lanes = 1;
    descriptor.dimensions = static_cast<int>(buffer.extents.size());
    descriptor.dim = p.dimensions[i].data();
  }
  for (const Call& call : c.calls) {
    std::vector<void*> arguments;
    for (int buffer : call.buffers) arguments.push_back(&p.descriptors[static_cast<size_t>(buffer)]);
    p.arguments.push_back(arguments);
  }
  // Of those touched at the same time, the last call's output first and its input last.
  for (size_t i = n; i-- > 0;) {
    const std::vector<long>& reuse = c.buffers[i].reuse_bytes;
    const size_t lines = (p.regions[i].bytes + line_bytes - 1) / line_bytes;
    for (size_t k = 0; k < reuse.size(); ++k)
      p.touched.push_back({i, lines * k / reuse.size() * line_bytes,
                           std::min(lines * (k + 1) / reuse.size() * line_bytes, p.regions[i].bytes),
                           static_cast<size_t>(reuse[k])});
  }
  std::stable_sort(p.touched.begin(), p.touched.end(), [](const Part& a, const Part& b) { return a.since > b.since; });
  return p;
}

/// Moves all buffers from between their guards into one arena of large pages, as a deployed network has them: with 4
/// KiB pages, networks of large maps spend 3 to 6 % of their time looking up addresses.
void move_to_arena(const Case& c, Prepared& p) {
  size_t total = 0;
  for (size_t i = 0; i < p.regions.size(); ++i)
    if (c.buffers[i].inside < 0) total += static_cast<size_t>(p.regions[i].zone_end - p.regions[i].zone_begin);
  total = round_up(total, large_page);
  unsigned char* at = guarded_memory(total, large_page);
  madvise(at, total, MADV_HUGEPAGE);  // where there are none, small pages do
  for (size_t i = 0; i < p.regions.size(); ++i) {
    const Region from = p.regions[i];
    Region& region = p.regions[i];
    if (c.buffers[i].inside >= 0) {
      region =
          part_of(p.regions[static_cast<size_t>(c.buffers[i].inside)], c.buffers[i].offset * sizeof(float), from.bytes);
      p.descriptors[i].host = region.data;
      continue;
    }
    region = make_region(at, from.bytes, static_cast<size_t>(from.data - from.zone_begin) - zone_bytes);
    region.checksum = from.checksum;
    memcpy(region.data, from.data, from.bytes);
    at = region.zone_end;
    munmap(from.zone_begin, static_cast<size_t>(from.zone_end - from.zone_begin));
    p.descriptors[i].host = region.data;
  }
}

char halide_message[400];

void keep_halide_message(void*, const char* message) {
  if (halide_message[0]) return;  // the first is the cause
  strncpy(halide_message, message, sizeof halide_message - 1);
}

/// Makes all calls `times` times; microseconds.
double run(const Case& c, Prepared& p, long times) {
  const double start = now_us();
  for (long i = 0; i < times; ++i) {
    for (size_t k = 0; k < c.calls.size(); ++k) {
      const int status = sonar_functions[c.calls[k].function](p.arguments[k].data());
      if (status != 0) {
        finish_error(MeasureErrorKind::crash, text("call %zu returned %d: %s", k, status, halide_message));
      }
    }
  }
  return now_us() - start;
}

// ---- What the rest of a network does between two calls -------------------------------------------------------------

// Stands for the other weights and activations. Filled before the cases are forked off, which only read it.
const unsigned char* context_memory = nullptr;
size_t context_size = 0;  // bytes: of the largest context

void make_context(const Batch& batch) {
  for (const Case& c : batch.cases)
    context_size = std::max(context_size, static_cast<size_t>(std::max(0L, c.context_bytes)));
  if (context_size == 0) return;
  void* memory = mmap(nullptr, context_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) refuse(text("no memory for a context of %zu bytes", context_size));
  madvise(memory, context_size, MADV_HUGEPAGE);
  memset(memory, 1, context_size);  // pages never written would all be one page
  context_memory = static_cast<const unsigned char*>(memory);
}

constexpr size_t paced_bytes = 64 << 10;  // that are read at a stretch

void read_context(size_t begin, size_t end) {
  uint64_t sum = 0;
  for (size_t i = begin; i < end; i += line_bytes) {
    uint64_t word;
    memcpy(&word, context_memory + i, sizeof word);
    sum += word;
  }
  asm volatile("" : : "r"(sum));  // it is used
}

/// Writes what is there, a word of each line, as the program that wrote it last would leave it.
void rewrite(unsigned char* begin, unsigned char* end) {
  for (unsigned char* at = begin; at < end; at += line_bytes) {
    volatile uint32_t* word = reinterpret_cast<uint32_t*>(at);
    *word = *word;
  }
}

/// Stands for the code of the others: more than a nearest instruction cache holds.
__attribute__((noinline)) void run_other_code() { asm volatile(".rept 65536\n\tnop\n\t.endr"); }

struct Pass {
  const Case* c;
  const Prepared* p;
  int threads;
  std::atomic<int> arrived;
};

/// The share of one thread: all of the context, since each has caches of its own, and its part of the activations.
int pass_part(void*, int part, uint8_t* closure) {
  Pass& pass = *reinterpret_cast<Pass*>(closure);
  const size_t n = static_cast<size_t>(pass.threads), part_number = static_cast<size_t>(part);
  // No thread may take two parts: each waits for all others, unless one does not come at all.
  if (n > 1) {
    const double patience_us = now_us() + 1000;
    ++pass.arrived;
    while (pass.arrived < pass.threads && now_us() < patience_us) {
    }
  }
  run_other_code();
  size_t left = static_cast<size_t>(pass.c->context_bytes);
  const size_t all = left;
  const double start_us = now_us();
  // At the pace of a network: others of the processor take its shared caches meanwhile.
  const auto read = [&](size_t begin, size_t end) {
    while (begin < end) {
      const size_t next = std::min(end, begin + paced_bytes);
      read_context(begin, next);
      begin = next;
      const double until_us = start_us + pass.c->context_us * static_cast<double>(begin) / static_cast<double>(all);
      while (now_us() < until_us) {
      }
    }
  };
  for (const Part& part_of_buffer : pass.p->touched) {
    const size_t then = std::min(left, part_of_buffer.since);
    read(all - left, all - then);
    left = then;
    unsigned char* data = pass.p->regions[part_of_buffer.buffer].data;
    const size_t begin = part_of_buffer.begin, end = part_of_buffer.end;
    const size_t lines = (end - begin + line_bytes - 1) / line_bytes;
    rewrite(data + begin + lines * part_number / n * line_bytes,
            data + std::min(begin + lines * (part_number + 1) / n * line_bytes, end));
  }
  read(all - left, all);
  return 0;
}

/// Leaves the caches as the rest of the network leaves them to this case's call.
void pass_by(const Case& c, const Prepared& p, int threads) {
  if (!halide_do_par_for) threads = 1;
  Pass pass{&c, &p, threads, {0}};
  uint8_t* closure = reinterpret_cast<uint8_t*>(&pass);
  if (threads > 1)
    halide_do_par_for(nullptr, pass_part, 0, threads, closure);
  else
    pass_part(nullptr, 0, closure);
}

/// Mean of those that nothing disturbed. Clocks tick in steps (of 10 ns on some CPUs), so that the median of short
/// calls is one step or the other; since calls begin anywhere within a step, their mean tells finer times.
double undisturbed_mean(std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  const double most = 1.25 * sonar::quantile(times.data(), times.size(), 0.5) + 2 * clock_step_us;
  double sum = 0;
  size_t n = 0;
  for (; n < times.size() && times[n] <= most; ++n) sum += times[n];
  return sum / static_cast<double>(n);
}

/// What two looks at the clock take with nothing between them.
double clock_us() {
  std::vector<double> empty(1001);
  for (double& us : empty) {
    const double start = now_us();
    us = now_us() - start;
  }
  return undisturbed_mean(empty);
}

// ---- Is the answer right? ------------------------------------------------------------------------------------------

void check_zones(const Prepared& p) {
  for (size_t i = 0; i < p.regions.size(); ++i) {
    const Region& region = p.regions[i];
    for (const unsigned char* at = region.data; at > region.zone_begin; --at) {
      if (at[-1] != zone_byte) {
        finish_error(MeasureErrorKind::wrong_answer,
                     text("wrote outside buffer %zu, %td bytes before its start", i, region.data - at + 1));
      }
    }
    for (const unsigned char* at = region.data_end; at < region.zone_end; ++at) {
      if (*at != zone_byte) {
        finish_error(MeasureErrorKind::wrong_answer,
                     text("wrote outside buffer %zu, %td bytes after its end", i, at - region.data_end));
      }
    }
  }
}

void check_inputs(const Prepared& p) {
  for (size_t i = 0; i < p.regions.size(); ++i) {
    const Region& region = p.regions[i];
    if (p.written[i]) continue;
    if (checksum(region.data, region.bytes) != region.checksum)
      finish_error(MeasureErrorKind::wrong_answer, text("wrote into buffer %zu, which is an input", i));
  }
}

void check_values(const Case& c, const Prepared& p) {
  if (!c.expected) return;
  const size_t which = static_cast<size_t>(c.checked_buffer);
  const float* got = reinterpret_cast<const float*>(p.regions[which].data);
  const size_t count = c.buffers[which].count;
  size_t wrong = 0, first = 0;
  for (size_t i = 0; i < count; ++i) {
    const double expected = c.expected[i];
    // Written so that a NaN on either side is wrong.
    if (std::fabs(got[i] - expected) <= c.tolerance * (1 + std::fabs(expected))) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong == 0) return;
  finish_error(MeasureErrorKind::wrong_answer,
               text("buffer %zu: %zu of %zu values differ; the first at index %zu: got %.9g, expected %.9g", which,
                    wrong, count, first, static_cast<double>(got[first]), static_cast<double>(c.expected[first])));
}

void check(const Case& c, const Prepared& p) {
  check_zones(p);
  check_inputs(p);
  check_values(c, p);
}

/// Runs once on results full of NaNs, since a program that writes nothing would pass with what an earlier run left.
void run_and_check(const Case& c, Prepared& p) {
  for (size_t i = 0; i < p.regions.size(); ++i) {
    if (p.results[i]) memset(p.regions[i].data, 0xff, p.regions[i].bytes);
  }
  run(c, p, 1);
  check(c, p);
}

// ---- How long does it take? ----------------------------------------------------------------------------------------

struct Timing {
  std::vector<double> samples_us;
  long runs = 0;
  bool stopped_early = false;
};

/// Takes samples. Calls in bursts: a sample is the mean of one. Calls alone: it is the mean of some that nothing
/// disturbed.
class Sampler {
 public:
  Sampler(const Case& c, Prepared& p, int threads) : c_(c), p_(p), threads_(threads), clock_us_(clock_us()) {}

  /// Finds how many calls make a sample that lasts sample_us, all that is done between them included. Returns the first
  /// sample; what went before was warm-up.
  double first() {
    calls_ = 1;
    for (;;) {
      const double result = next();
      if (wall_us_ >= c_.sample_us || (alone() && calls_ >= static_cast<long>(most_calls))) return result;
      const double needed = 1.2 * static_cast<double>(calls_) * c_.sample_us / std::max(wall_us_, 0.01);
      calls_ = std::max(calls_ + 1, static_cast<long>(std::min(needed, 10.0 * static_cast<double>(calls_))));
      if (alone()) calls_ = std::min(calls_, static_cast<long>(most_calls));
    }
  }

  /// Microseconds of one call.
  double next() {
    const double start = now_us();
    double result;
    if (alone()) {
      times_.clear();
      for (long i = 0; i < calls_; ++i) {
        pass_by(c_, p_, threads_);
        times_.push_back(run(c_, p_, 1));
      }
      // A program may be quicker than the clock can tell, but it takes some time.
      result = std::max(undisturbed_mean(times_) - clock_us_, 1e-3);
    } else {
      result = run(c_, p_, calls_) / static_cast<double>(calls_);
    }
    wall_us_ = now_us() - start;
    return result;
  }

  long calls() const { return calls_; }        // in a sample
  double wall_us() const { return wall_us_; }  // that the last sample took

 private:
  bool alone() const { return c_.context_bytes >= 0; }

  const Case& c_;
  Prepared& p_;
  int threads_;
  double clock_us_;
  long calls_ = 1;
  double wall_us_ = 0;
  std::vector<double> times_;
};

Timing measure(const Case& c, Prepared& p, int threads, double case_start_us) {
  Timing timing;
  Sampler sampler(c, p, threads);
  double sample = sampler.first();
  const double start_us = now_us() - sampler.wall_us();
  std::vector<double> sorted;
  for (;;) {
    timing.samples_us.push_back(sample);
    timing.runs += sampler.calls();
    sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), sample), sample);
    const size_t n = sorted.size();
    if (c.best_us > 0 && n >= 2 && sorted[0] > clearly_slower * c.best_us) {
      timing.stopped_early = true;
      return timing;
    }
    const double now = now_us();
    if (n >= c.max_samples) return timing;
    if (n >= enough_samples && sonar::relative_spread(sorted.data(), n) < small_spread) return timing;
    if (n >= fewest_samples && now - start_us >= c.sampling_s * 1e6) return timing;
    // One more sample, or the check after it, might run into the time limit, and a slow program is not a failed one.
    if (now - case_start_us + 2 * sampler.wall_us() + sample > 0.8e6 * c.time_limit_s) return timing;
    sample = sampler.next();
  }
}

// ---- Processes -----------------------------------------------------------------------------------------------------

void limit(decltype(RLIMIT_AS) resource, double value) {
  const rlim_t bound = value < static_cast<double>(RLIM_INFINITY) / 2 ? static_cast<rlim_t>(value) : RLIM_INFINITY;
  const rlimit both{bound, bound};
  setrlimit(resource, &both);
}

[[noreturn]] void run_case(const Batch& batch, const Case& c) {
  const double start_us = now_us();
  double bytes = static_cast<double>(batch.file_bytes + context_size);
  for (const Buffer& buffer : c.buffers)
    bytes += static_cast<double>(buffer.count) * sizeof(float) * 3 + 12 * zone_bytes;
  limit(RLIMIT_AS, program_memory_bytes + 2 * large_page + bytes);
  limit(RLIMIT_CPU, std::ceil(c.time_limit_s * batch.threads) + 2);
  limit(RLIMIT_CORE, 0);
  // What a program allocates for itself stays mapped between its runs, as in a deployed network that keeps its memory:
  // programs with two large maps would otherwise spend most of their time on page faults.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc takes
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  if (halide_set_error_handler) halide_set_error_handler(keep_halide_message);
  if (halide_set_num_threads) halide_set_num_threads(batch.threads);

  Prepared prepared = prepare(c);
  run_and_check(c, prepared);
  run_and_check(c, prepared);
  move_to_arena(c, prepared);
  const Timing timing = measure(c, prepared, batch.threads, start_us);
  check(c, prepared);
  run_and_check(c, prepared);

  std::string line = text("ok %ld %d", timing.runs, timing.stopped_early ? 1 : 0);
  for (double sample : timing.samples_us) line += text(" %.6g", sample);
  finish(line);
}

std::string read_pipe(int descriptor) {
  std::string all;
  char block[4096];
  for (ssize_t n; (n = read(descriptor, block, sizeof block)) > 0;) all.append(block, static_cast<size_t>(n));
  return all;
}

/// Waits for the child to end; false when time was up and it had to be killed.
bool wait_for(pid_t child, double limit_s, int* status) {
  const double deadline = now_us() + limit_s * 1e6;
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  for (;;) {
    if (waitpid(child, status, WNOHANG) == child) return true;
    const double left_us = deadline - now_us();
    if (left_us <= 0) break;
    timespec left;
    left.tv_sec = static_cast<time_t>(left_us / 1e6);
    left.tv_nsec = static_cast<long>(std::fmod(left_us, 1e6) * 1e3);
    sigtimedwait(&children, nullptr, &left);
  }
  kill(child, SIGKILL);
  waitpid(child, status, 0);
  return false;
}

std::string error_line(MeasureErrorKind kind, const std::string& message) {
  return "error " + std::to_string(static_cast<int>(kind)) + " " + message;
}

/// What the case said on stderr, as glibc does before it aborts; empty when nothing.
std::string last_words(const std::string& said) {
  const size_t end = said.find_last_not_of("\n\r ");
  if (end == std::string::npos) return "";
  const size_t newline = said.find_last_of('\n', end);
  const size_t begin = newline == std::string::npos ? 0 : newline + 1;
  std::string line = ": " + said.substr(begin, std::min<size_t>(end + 1 - begin, 300));
  std::replace(line.begin(), line.end(), '\r', ' ');
  return line;
}

/// "ok ..." or "error ..." of one case.
std::string run_in_child(const Batch& batch, const Case& c) {
  // Results have a pipe of their own, so that a program that prints cannot forge them. Both pipes hold 64 KiB; a
  // program that prints more than that loses it.
  int result[2], said[2];
  if (pipe2(result, O_NONBLOCK) != 0 || pipe2(said, O_NONBLOCK) != 0) {
    return error_line(MeasureErrorKind::device_unreachable, text("no pipe: %s", strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(said[1], 2);
    result_pipe = result[1];
    run_case(batch, c);
  }
  close(result[1]);
  close(said[1]);
  std::string line;
  int status = 0;
  if (child < 0) {
    line = error_line(MeasureErrorKind::device_unreachable, text("cannot fork: %s", strerror(errno)));
  } else if (!wait_for(child, c.time_limit_s, &status)) {
    line = error_line(MeasureErrorKind::run_timeout, text("ran longer than %g s", c.time_limit_s));
  } else if (WIFSIGNALED(status)) {
    line = error_line(MeasureErrorKind::crash,
                      text("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status))) +
                          last_words(read_pipe(said[0])));
  } else {
    line = read_pipe(result[0]);
    if (WEXITSTATUS(status) == 0 && !line.empty() && line.back() == '\n') {
      line.pop_back();
    } else {
      line =
          error_line(MeasureErrorKind::crash, text("exited with code %d before it was measured", WEXITSTATUS(status)) +
                                                  last_words(read_pipe(said[0])));
    }
  }
  close(result[0]);
  close(said[0]);
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) refuse("usage: runner BATCH FIRST");
  puts("sonar-runner 1");
  fflush(stdout);
  const Batch batch = read_batch(argv[1]);
  make_context(batch);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
  for (size_t i = static_cast<size_t>(atol(argv[2])); i < batch.cases.size(); ++i) {
    printf("start %zu\n", i);
    fflush(stdout);
    const std::string line = run_in_child(batch, batch.cases[i]);
    const size_t space = line.find(' ');  // the number goes after the first word
    printf("%s %zu%s\n", line.substr(0, space).c_str(), i, line.substr(space).c_str());
    fflush(stdout);
  }
  puts("end");
  fflush(stdout);
  return 0;
}
