#include "train/render.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sonar {
namespace {

using Table = std::array<std::array<float, 3>, 256>;  // byte, channel -> normalised value

Table make_table(const Normalisation& n) {
  Table table;
  for (int value = 0; value < 256; ++value) {
    for (size_t c = 0; c < 3; ++c) table[size_t(value)][c] = (float(value) - n.mean[c]) / n.deviation[c];
  }
  return table;
}

void render_image(const uint8_t* image, int side, const Placement& placement, const Table& table, float* out) {
  for (int y = 0; y < side; ++y) {
    const int from_y = y + placement.shift_y;
    float* row = out + size_t(y) * side * 3;
    if (from_y < 0 || from_y >= side) {
      std::fill_n(row, size_t(side) * 3, 0.f);
      continue;
    }
    const uint8_t* from = image + size_t(from_y) * side * 3;
    for (int x = 0; x < side; ++x) {
      const int shifted = x + placement.shift_x;
      if (shifted < 0 || shifted >= side) {
        std::fill_n(row + x * 3, 3, 0.f);
        continue;
      }
      const uint8_t* pixel = from + (placement.flip ? side - 1 - shifted : shifted) * 3;
      for (size_t c = 0; c < 3; ++c) row[size_t(x) * 3 + c] = table[pixel[c]][c];
    }
  }
}

/// `narrow` is scratch of [side][resolution][3].
void resample_image(const float* image, int side, const Taps& taps, int resolution, std::vector<float>& narrow,
                    float* out) {
  narrow.assign(size_t(side) * resolution * 3, 0.f);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < resolution; ++x) {
      float* to = &narrow[(size_t(y) * resolution + x) * 3];
      const float* from = image + (size_t(y) * side + taps.first[x]) * 3;
      for (int t = 0; t < taps.width; ++t) {
        const float weight = taps.weights[size_t(x) * taps.width + t];
        for (int c = 0; c < 3; ++c) to[c] += weight * from[t * 3 + c];
      }
    }
  }
  const size_t row = size_t(resolution) * 3;
  std::fill_n(out, row * resolution, 0.f);
  for (int y = 0; y < resolution; ++y) {
    for (int t = 0; t < taps.width; ++t) {
      const float weight = taps.weights[size_t(y) * taps.width + t];
      const float* from = &narrow[size_t(taps.first[y] + t) * row];
      for (size_t i = 0; i < row; ++i) out[y * row + i] += weight * from[i];
    }
  }
}

}  // namespace

Normalisation measure_normalisation(const Dataset& data) {
  // Sums of bytes and squares are exact in 64 bits: the same on every machine and in every order.
  std::array<uint64_t, 3> sum{}, squares{};
  uint64_t pixels = 0;
  for (int image : data.split.train) {
    const uint8_t* bytes = &data.pixels[size_t(image) * data.image_bytes()];
    for (size_t i = 0; i < data.image_bytes(); ++i) {
      sum[i % 3] += bytes[i];
      squares[i % 3] += uint64_t(bytes[i]) * bytes[i];
    }
    pixels += data.image_bytes() / 3;
  }
  Normalisation n;
  for (size_t c = 0; c < 3; ++c) {
    const double mean = double(sum[c]) / double(pixels);
    n.mean[c] = float(mean);
    n.deviation[c] = float(std::sqrt(std::max(1.0, double(squares[c]) / double(pixels) - mean * mean)));
  }
  return n;
}

void render_batch(const Dataset& data, const Normalisation& normalisation, const std::vector<Placement>& placements,
                  int resolution, float* out) {
  const Table table = make_table(normalisation);
  const int side = data.resolution;
  const size_t image_floats = size_t(resolution) * resolution * 3;
  std::vector<float> whole(data.image_bytes()), narrow;
  const Taps taps = make_taps(side, resolution);
  for (size_t i = 0; i < placements.size(); ++i) {
    const uint8_t* image = &data.pixels[size_t(placements[i].image) * data.image_bytes()];
    float* to = out + i * image_floats;
    if (resolution == side) {
      render_image(image, side, placements[i], table, to);
    } else {
      render_image(image, side, placements[i], table, whole.data());
      resample_image(whole.data(), side, taps, resolution, narrow, to);
    }
  }
}

}  // namespace sonar
