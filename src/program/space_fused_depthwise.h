// A depthwise convolution and the pointwise ones around it as one program: each stage has the knobs that it has alone,
// and knobs of the whole say how much of the maps between two stages exists at a time.
#pragma once
#include <optional>

#include "program/space_conv.h"
#include "program/space_depthwise.h"

namespace sonar {

/// How much of the expanded map there is at a time.
enum class StageFusion {
  whole = 0,    // all of it, in a loop of its own: as a separate program makes it
  band = 1,     // what a band of output rows needs; the rows that two bands share are expanded twice
  sliding = 2,  // likewise, but the rows that the band before has expanded are kept
};

/// A decoded knob vector.
struct FusedSchedule {
  StageFusion fusion = StageFusion::whole;
  int rows = 0;  // of the output in a band, for which alone there is the map before the projection; 0: all of it
  bool by_channels = false;  // a band's rows are expanded for one channel tile of the depthwise convolution at a time
  std::optional<ConvSchedule> expand = std::nullopt;
  DepthwiseSchedule depthwise = {};
  std::optional<ConvSchedule> project = std::nullopt;

  /// Of the expanded map in a program that keeps rows from band to band: a power of two, used in turn.
  int ring_rows(const Subgraph& subgraph) const {
    int ring = 1;
    while (ring < (rows - 1) * subgraph.stride + subgraph.kernel) ring *= 2;
    return ring;
  }
  int last_tile_height() const { return project ? project->tile_height : depthwise.tile_height; }
  bool last_parallel() const { return project ? project->parallel : depthwise.parallel; }
};
FusedSchedule decode_fused(const Subgraph& subgraph, const Knobs& knobs);

}  // namespace sonar
