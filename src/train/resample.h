// Resizing by a triangle filter that widens with the reduction: bilinear when enlarging, close to an area mean when
// reducing. Separable: the same taps serve rows and columns.
#pragma once
#include <vector>

namespace sonar {

/// Output i is the sum over t < width of weights[i * width + t] * input[first[i] + t].
struct Taps {
  int width = 1;               // taps of each output; unused ones have weight 0 and stay inside the input
  std::vector<int> first;      // [out]
  std::vector<float> weights;  // [out][width], each row sums to 1
};

/// Taps from `in` samples, of which [begin, begin + length) are mapped onto `out` samples.
Taps make_taps(int in, int begin, int length, int out);
inline Taps make_taps(int in, int out) { return make_taps(in, 0, in, out); }

}  // namespace sonar
