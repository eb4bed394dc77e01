// The description of a batch that goes to the device beside the runner.
//
// Version 5: lines of text, then the expected values (little-endian float32) without a gap. The text is padded with
// newlines to a multiple of 64 bytes, and its first line holds its length.
//
//   sonar-batch 5 TEXT_BYTES
//   threads N
//   expected K COUNT...
//   cases N
//   case BUFFERS CALLS CHECKED_BUFFER EXPECTED(-1: none) TOLERANCE BEST_US TIME_LIMIT_S SAMPLE_US MAX_SAMPLES
//   SAMPLING_S CONTEXT_BYTES(-1: bursts) CONTEXT_US
//   buffer zero|random|file SEED SCALE BLOCK ROWS RUN UNIT WINOGRAD_POINTS INSIDE(-1: none) OFFSET
//   PARTS REUSE_BYTES... DIMENSIONS EXTENT... PATH_BYTES [PATH]
//      as many as the case has
//   call FUNCTION N BUFFER... likewise
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"

namespace sonar {

/// Throws InternalError, naming the case, when a batch does not make sense.
void check_batch(const Batch& batch);

/// The file's content for those of a checked batch's cases that `cases` lists; the runner numbers them from 0. Values
/// expected by several cases are held once. The pieces after the first point into `batch`.
struct BatchText {
  std::string text;
  std::vector<std::string_view> values;
};
BatchText describe_batch(const Batch& batch, const std::vector<size_t>& cases, int threads);

/// Throws EnvironmentError that names the folder when the disk is full.
void write_file(const std::string& path, const std::vector<std::string_view>& pieces);

}  // namespace sonar
