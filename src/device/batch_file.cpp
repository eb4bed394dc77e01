#include "device/batch_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <unordered_map>

#include "model/error.h"
#include "process/descriptor.h"

namespace sonar {
namespace {

constexpr int most_samples = 2000;  // the runner's answer must fit into a pipe
constexpr size_t text_unit = 64;

size_t count(const BufferSpec& buffer) { return value_count(buffer.extents); }

void require(bool condition, const std::string& place, const char* what) {
  if (!condition) throw InternalError(fmt::format("{}: {}", place, what));
}

void check_buffer(const BufferSpec& buffer, const std::string& place) {
  for (int extent : buffer.extents) require(extent > 0, place, "an extent is not positive");
  require(count(buffer) < (size_t{1} << 31), place, "more than 2^31 elements");
  require(buffer.fill != BufferSpec::Fill::file || !buffer.path.empty(), place, "filled from a file without a path");
  require(buffer.reuse_bytes.size() <= count(buffer), place, "more parts than values");
  require(buffer.block >= 0, place, "a negative block");
  require(buffer.winograd_points == 0 || buffer.block > 0, place, "transformed weights that are not packed");
  if (buffer.block > 0) {
    require(buffer.rows > 0, place, "packed without rows");
    const size_t stored_rows = static_cast<size_t>((buffer.rows + buffer.block - 1) / buffer.block * buffer.block);
    require(count(buffer) % stored_rows == 0, place, "extents that ceil(rows / block) * block does not divide");
    require(buffer.unit > 0 && buffer.run >= 0, place, "a unit that is not positive, or a negative run");
    const size_t units = buffer.run == 0 ? 0 : static_cast<size_t>((buffer.run + buffer.unit - 1) / buffer.unit);
    require(buffer.run > 0 ? count(buffer) % (stored_rows * units * static_cast<size_t>(buffer.unit)) == 0
                           : buffer.unit == 1,
            place, "extents that whole runs of whole units do not fill");
    const size_t points = static_cast<size_t>(buffer.winograd_points);
    const bool known = points == 4 || points == 5 || points == 6 || points == 9;
    require(points == 0 || (known && buffer.run == 0 && count(buffer) % (stored_rows * points * points) == 0), place,
            "transformed weights that are no whole kernels of 4, 5, 6 or 9 points per side");
  }
}

const char* fill_name(BufferSpec::Fill fill) {
  switch (fill) {
    case BufferSpec::Fill::zero:
      return "zero";
    case BufferSpec::Fill::random:
      return "random";
    case BufferSpec::Fill::file:
      return "file";
  }
  return "";
}

std::string_view bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

void check_batch(const Batch& batch) {
  const std::set<std::string> names(batch.functions.begin(), batch.functions.end());
  require(names.size() == batch.functions.size(), "batch", "two functions of one name");
  for (size_t i = 0; i < batch.cases.size(); ++i) {
    const Case& c = batch.cases[i];
    const std::string place = fmt::format("case {}", i);
    const int buffers = static_cast<int>(c.buffers.size());
    for (int k = 0; k < buffers; ++k) {
      const BufferSpec& buffer = c.buffers[k];
      check_buffer(buffer, fmt::format("{}, buffer {}", place, k));
      if (buffer.inside < 0) continue;
      require(buffer.inside < k && c.buffers[buffer.inside].inside < 0, fmt::format("{}, buffer {}", place, k),
              "inside a buffer that is itself inside one, or comes later");
      require(buffer.offset >= 0 && buffer.offset + long(count(buffer)) <= long(count(c.buffers[buffer.inside])),
              fmt::format("{}, buffer {}", place, k), "reaches out of the buffer that it is inside of");
    }
    require(!c.calls.empty(), place, "no call");
    for (const CallSpec& call : c.calls) {
      require(call.function >= 0 && call.function < static_cast<int>(batch.functions.size()), place,
              "calls a function that is not there");
      require(!call.buffers.empty(), place, "a call without buffers");
      for (int buffer : call.buffers) {
        require(buffer >= 0 && buffer < buffers, place, "a call names a buffer that is not there");
      }
    }
    require(c.time_limit_s > 0, place, "no time limit");
    require(c.context_bytes <= kMostContextBytes, place, "a context of more than 128 MiB");
    require(c.context_us >= 0 && c.context_us <= kMostContextUs, place,
            "a context that takes less than 0 or more than 6 ms");
    require(c.max_samples >= 1 && c.max_samples <= most_samples, place, "max_samples is not in 1..2000");
    if (c.expected.empty()) continue;
    require(c.checked_buffer >= 0 && c.checked_buffer < buffers, place, "checks a buffer that is not there");
    require(c.expected.size() == count(c.buffers[c.checked_buffer]), place,
            "expects another number of values than the checked buffer has");
  }
}

BatchText describe_batch(const Batch& batch, const std::vector<size_t>& cases, int threads) {
  BatchText result;
  std::unordered_map<std::string_view, int> known;  // by content: the programs of one subgraph expect the same
  std::string counts, body;
  const auto append = [](std::string& to, fmt::string_view format, const auto&... arguments) {
    fmt::vformat_to(std::back_inserter(to), format, fmt::make_format_args(arguments...));
  };
  for (size_t i : cases) {
    const Case& c = batch.cases[i];
    int expected = -1;
    if (!c.expected.empty()) {
      const auto [entry, added] = known.emplace(bytes_of(c.expected), static_cast<int>(known.size()));
      expected = entry->second;
      if (added) {
        result.values.push_back(entry->first);
        append(counts, " {}", c.expected.size());
      }
    }
    append(body, "case {} {} {} {} {} {} {} {} {} {} {} {}\n", c.buffers.size(), c.calls.size(), c.checked_buffer,
           expected, c.tolerance, c.best_us, c.time_limit_s, c.sample_us, c.max_samples, c.sampling_s, c.context_bytes,
           c.context_us);
    for (const BufferSpec& b : c.buffers) {
      append(body, "buffer {} {} {} {} {} {} {} {} {} {} {}", fill_name(b.fill), b.seed, b.scale, b.block, b.rows,
             b.run, b.unit, b.winograd_points, b.inside, b.offset, b.reuse_bytes.size());
      for (long bytes : b.reuse_bytes) append(body, " {}", bytes);
      append(body, " {}", b.extents.size());
      for (int extent : b.extents) append(body, " {}", extent);
      const bool from_file = b.fill == BufferSpec::Fill::file;
      append(body, " {}{}\n", from_file ? b.path.size() : 0, from_file ? " " + b.path : "");
    }
    for (const CallSpec& call : c.calls) {
      append(body, "call {} {}", call.function, call.buffers.size());
      for (int buffer : call.buffers) append(body, " {}", buffer);
      body += '\n';
    }
  }
  const auto text_of_length = [&](size_t bytes) {
    return fmt::format("sonar-batch 5 {:012}\nthreads {}\nexpected {}{}\ncases {}\n{}", bytes, threads,
                       result.values.size(), counts, cases.size(), body);
  };
  const size_t bytes = (text_of_length(0).size() + text_unit - 1) / text_unit * text_unit;
  result.text = text_of_length(bytes);
  result.text.resize(bytes, '\n');
  return result;
}

void write_file(const std::string& path, const std::vector<std::string_view>& pieces) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const auto fail = [&](int error) {
    throw EnvironmentError(fmt::format("cannot write {}: {}; {}", path, strerror(error),
                                       error == ENOSPC || error == EDQUOT
                                           ? fmt::format("free some space in {} or choose another work folder", folder)
                                           : fmt::format("is {} a folder that may be written?", folder)));
  };
  Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.open()) fail(errno);
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const ssize_t n = write(file.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(errno);
      piece.remove_prefix(static_cast<size_t>(n));
    }
  }
}

}  // namespace sonar
