// Shared by the host and the runner: the weights of a 3x3 convolution as its programs by minimal filtering read them.
#pragma once
#include <cstddef>

namespace sonar {

/// U = G g G' of A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), whose result has
/// `points` x `points` values for each kernel. `given`: [rows][3][3][channels]; `transformed`:
/// [rows][points][points][channels]. Stride 1: 4 and 6 points, of output tiles of 2x2 and 4x4 pixels; the points are 0,
/// 1, -1 and infinity, and 0, +-sqrt(1/2), +-sqrt(2) and infinity, whose rounding errors are smaller than those of the
/// paper's 0, +-1, +-2 at the same number of operations. Stride 2: 5 and 9 points, of tiles of 2x2 and 4x4: first the
/// kernel's outer two columns, by the points 0, 1 and infinity, or 0, 1, -1, 1/2 and infinity, then as many times as
/// the tile has pixels the middle one.
inline void winograd_weights(int points, size_t rows, size_t channels, const float* given, float* transformed) {
  constexpr double kHalf = 0.70710678118654752440, kTwo = 1.41421356237309504880;  // sqrt(1/2), sqrt(2)
  constexpr double kTile2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  constexpr double kTile4[6][3] = {{1, 0, 0},
                                   {-2.0 / 3, -2.0 / 3 * kHalf, -1.0 / 3},
                                   {-2.0 / 3, 2.0 / 3 * kHalf, -1.0 / 3},
                                   {1.0 / 6, 1.0 / 6 * kTwo, 1.0 / 3},
                                   {1.0 / 6, -1.0 / 6 * kTwo, 1.0 / 3},
                                   {0, 0, 1}};
  constexpr double kTile2Stride2[5][3] = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}, {0, 1, 0}};
  constexpr double kTile4Stride2[9][3] = {
      {2, 0, 0}, {1, 0, 1}, {-1.0 / 3, 0, 1.0 / 3}, {-8.0 / 3, 0, -4.0 / 3}, {0, 0, 1}, {0, 1, 0}, {0, 1, 0},
      {0, 1, 0}, {0, 1, 0}};
  const double(*g)[3] = points == 4 ? kTile2 : points == 6 ? kTile4 : points == 5 ? kTile2Stride2 : kTile4Stride2;
  const size_t side = static_cast<size_t>(points);
  for (size_t row = 0; row < rows; ++row) {
    const float* kernel = given + row * 9 * channels;
    float* result = transformed + row * side * side * channels;
    for (size_t i = 0; i < side; ++i)
      for (size_t j = 0; j < side; ++j)
        for (size_t c = 0; c < channels; ++c) {
          double sum = 0;
          for (size_t y = 0; y < 3; ++y)
            for (size_t x = 0; x < 3; ++x)
              sum += g[i][y] * g[j][x] * static_cast<double>(kernel[(y * 3 + x) * channels + c]);
          result[(i * side + j) * channels + c] = static_cast<float>(sum);
        }
  }
}

}  // namespace sonar
