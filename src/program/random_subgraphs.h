// For the tests: small subgraphs of every kind with odd channels, tiny images, and all fusions.
#pragma once
#include <array>

#include "model/random.h"
#include "model/subgraph.h"

namespace sonar {

inline constexpr std::array kEveryKind = {
    SubgraphKind::conv,           SubgraphKind::depthwise,      SubgraphKind::pool,         SubgraphKind::dense,
    SubgraphKind::squeeze_excite, SubgraphKind::max_pool,       SubgraphKind::average_pool, SubgraphKind::add,
    SubgraphKind::multiply,       SubgraphKind::scale,          SubgraphKind::activate,     SubgraphKind::concat,
    SubgraphKind::resize,         SubgraphKind::fused_depthwise};

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
  s.activation = static_cast<Activation>(random.below(7));
  s.residual = random.below(3) == 0;
  const bool activation_last = s.residual && s.activation != Activation::none && random.below(2) == 0;
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
      s.activation_last = activation_last;
      break;
    }
    case SubgraphKind::fused_depthwise: {
      constexpr int kKernels[] = {3, 3, 5, 2};
      s.kernel = kKernels[random.below(4)];
      s.stride = between(1, 2);
      s.padding = random.below(4) == 0 ? 0 : s.kernel / 2;
      while (s.height + 2 * s.padding < s.kernel) ++s.height;
      while (s.width + 2 * s.padding < s.kernel) ++s.width;
      const uint64_t form = random.below(4);
      s.expands = form != 1, s.projects = form != 2;
      s.middle_channels = channels();
      if (!s.expands) s.in_channels = s.middle_channels;
      if (!s.projects) s.out_channels = s.middle_channels;
      if (s.expands) s.expand_activation = static_cast<Activation>(random.below(7));
      if (s.projects) s.middle_activation = static_cast<Activation>(random.below(7));
      s.activation_last = activation_last;
      break;
    }
    case SubgraphKind::dense:
      s.height = s.width = 1;
      s.in_channels = random.below(2) == 0 ? 8 * between(1, 40) : between(1, 200);
      s.out_channels = between(1, 80);
      s.activation_last = activation_last;
      break;
    case SubgraphKind::pool:
    case SubgraphKind::squeeze_excite:
      s.out_channels = s.in_channels;
      s.activation = Activation::none;
      s.residual = false;
      if (kind == SubgraphKind::squeeze_excite) s.squeeze = between(1, 24);
      break;
    case SubgraphKind::max_pool:
    case SubgraphKind::average_pool:
      s.kernel = between(1, 5);
      s.stride = between(1, 3);
      s.padding = between(0, s.kernel - 1);
      s.height += s.kernel;
      s.width += s.kernel;
      [[fallthrough]];
    case SubgraphKind::resize:
    case SubgraphKind::concat:
      s.activation = Activation::none;
      if (kind == SubgraphKind::resize) s.stride = between(1, 3);
      [[fallthrough]];
    default:
      s.residual = false;
      s.out_channels = s.in_channels + (kind == SubgraphKind::concat ? channels() : 0);
      if (kind == SubgraphKind::activate && s.activation == Activation::none) s.activation = Activation::silu;
      break;
  }
  return s;
}

}  // namespace sonar
