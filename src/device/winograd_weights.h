// Shared by the host and the runner: the weights of a 3x3 convolution as its programs by minimal filtering read them.
#pragma once
#include <cstddef>

namespace sonar {

/// U = G g G' of A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), for output tiles of
/// `tile` x `tile` pixels, tile = 2 or 4. `given`: [rows][3][3][channels]; `transformed`: [rows][tile + 2][tile +
/// 2][channels]. The points of tile 2 are 0, 1, -1 and infinity; those of tile 4 are 0, +-sqrt(1/2), +-sqrt(2) and
/// infinity, whose rounding errors are smaller than those of the paper's 0, +-1, +-2 at the same number of operations.
inline void winograd_weights(int tile, size_t rows, size_t channels, const float* given, float* transformed) {
  constexpr double kHalf = 0.70710678118654752440, kTwo = 1.41421356237309504880;  // sqrt(1/2), sqrt(2)
  constexpr double kTile2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  constexpr double kTile4[6][3] = {{1, 0, 0},
                                   {-2.0 / 3, -2.0 / 3 * kHalf, -1.0 / 3},
                                   {-2.0 / 3, 2.0 / 3 * kHalf, -1.0 / 3},
                                   {1.0 / 6, 1.0 / 6 * kTwo, 1.0 / 3},
                                   {1.0 / 6, -1.0 / 6 * kTwo, 1.0 / 3},
                                   {0, 0, 1}};
  const double(*g)[3] = tile == 2 ? kTile2 : kTile4;
  const size_t points = static_cast<size_t>(tile) + 2;
  for (size_t row = 0; row < rows; ++row) {
    const float* kernel = given + row * 9 * channels;
    float* result = transformed + row * points * points * channels;
    for (size_t i = 0; i < points; ++i)
      for (size_t j = 0; j < points; ++j)
        for (size_t c = 0; c < channels; ++c) {
          double sum = 0;
          for (size_t y = 0; y < 3; ++y)
            for (size_t x = 0; x < 3; ++x)
              sum += g[i][y] * g[j][x] * static_cast<double>(kernel[(y * 3 + x) * channels + c]);
          result[(i * points + j) * channels + c] = static_cast<float>(sum);
        }
  }
}

}  // namespace sonar
