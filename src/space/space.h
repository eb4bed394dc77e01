// Search spaces: which architectures there are, and how each lowers to a graph. One file per family.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "model/architecture.h"

namespace sonar {

/// MobileNetV3-like networks, paper section 4.1, Table 1 (the defaults are its values: 1,024 architectures), built as
/// in Howard et al. 2019: a strided 3x3 stem; five stages of inverted residual blocks (expand, depthwise,
/// squeeze-excite, project); a 1x1 head; pooling; two dense layers. The first two stages use relu, everything after
/// them and the stem hard-swish. Every channel count is its base times the width multiplier, rounded to a multiple of 8
/// (at least 8, and never more than 10 % below).
struct MobileNetV3Options {
  std::vector<int> resolutions = {128, 160, 192, 224};          // pixels
  std::vector<double> widths = {0.25, 0.5, 0.75, 1.0};          // multiplier of every base width
  std::vector<int> expansions = {3, 6};                         // expansion ratio of every block
  std::vector<int> depths = {2, 3};                             // blocks in each of the five stages, chosen per stage
  std::vector<std::array<int, 5>> kernels = {{3, 5, 3, 3, 5}};  // per stage
  int stem_stride = 2;
  std::array<int, 5> strides = {2, 2, 2, 1, 2};  // of each stage's first block
  int stem_width = 16;
  std::array<int, 5> stage_widths = {24, 40, 80, 112, 160};
  std::array<bool, 5> squeeze_excite = {false, true, false, true, true};
  int head_width = 960;         // 1x1 convolution before pooling, scaled by the multiplier
  int classifier_width = 1280;  // hidden dense layer after pooling, scaled by the multiplier too
};

class Space {
 public:
  virtual ~Space() = default;
  /// Number of architectures.
  virtual uint64_t size() const = 0;
  /// The i-th architecture, i < size(), in a fixed order.
  virtual Architecture at(uint64_t i) const = 0;
  /// Whether this space holds it; throws UserError with the nearest reason when the name is malformed or outside.
  virtual void check(const Architecture& architecture) const = 0;
  /// The training graph for `classes` classes and RGB input of the architecture's resolution.
  virtual Graph lower(const Architecture& architecture, int classes) const = 0;
  /// Square input resolution in pixels.
  virtual int resolution(const Architecture& architecture) const = 0;
};

/// Throws UserError on impossible options (empty lists, a resolution that the strides reduce to nothing, ...).
std::unique_ptr<Space> make_mobilenetv3(const MobileNetV3Options& options);

/// `count` distinct architectures drawn with the seed, or all of them when count is 0 or not below size().
/// In the space's order. Costs O(count log count), whatever the size. Throws UserError when that is over ten million.
std::vector<Architecture> sample_architectures(const Space& space, uint64_t count, uint64_t seed);

}  // namespace sonar
