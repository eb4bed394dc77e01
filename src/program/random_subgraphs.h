// For the tests: small subgraphs of every kind with odd channels, tiny images, and all fusions.
#pragma once
#include "model/random.h"
#include "model/subgraph.h"

namespace sonar {

inline Subgraph random_subgraph(SubgraphKind kind, Random& random) {
  auto between = [&](int low, int high) { return low + static_cast<int>(random.below(high - low + 1)); };
  auto channels = [&] {
    constexpr int kUsual[] = {8, 16, 24, 40, 48, 72};
    return random.below(3) == 0 ? kUsual[random.below(6)] : between(1, 37);
  };
  Subgraph s;
  s.kind = kind;
  s.batch = random.below(4) == 0 ? between(3, 9) : between(1, 2);
  s.in_channels = channels();
  s.out_channels = channels();
  s.activation = static_cast<Activation>(random.below(4));
  s.residual = random.below(3) == 0;
  s.height = between(1, 17);
  s.width = between(1, 17);
  switch (kind) {
    case SubgraphKind::conv:
    case SubgraphKind::depthwise: {
      constexpr int kKernels[] = {1, 1, 3, 5, 7};
      s.kernel = kKernels[random.below(5)];
      s.stride = between(1, 2);
      s.padding = random.below(4) == 0 ? 0 : s.kernel / 2;
      while (s.height + 2 * s.padding < s.kernel) ++s.height;
      while (s.width + 2 * s.padding < s.kernel) ++s.width;
      if (kind == SubgraphKind::depthwise) s.out_channels = s.in_channels;
      break;
    }
    case SubgraphKind::dense:
      s.height = s.width = 1;
      s.in_channels = random.below(2) == 0 ? 8 * between(1, 40) : between(1, 200);
      s.out_channels = between(1, 80);
      break;
    case SubgraphKind::pool:
    case SubgraphKind::squeeze_excite:
      s.out_channels = s.in_channels;
      s.activation = Activation::none;
      s.residual = false;
      if (kind == SubgraphKind::squeeze_excite) s.squeeze = between(1, 24);
      break;
  }
  return s;
}

}  // namespace sonar
