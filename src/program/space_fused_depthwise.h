// A depthwise convolution and the pointwise ones around it as one program: each stage has the knobs that it has alone,
// and one knob says how much of a map exists between two stages at a time.
#pragma once
#include <optional>

#include "program/space_conv.h"
#include "program/space_depthwise.h"

namespace sonar {

/// How much of the maps between the stages there is.
enum class StageFusion {
  root = 0,     // all of them: one stage after the other, as separate programs do it
  band = 1,     // what a band of output rows needs; the rows that two bands share are expanded twice
  sliding = 2,  // likewise, but the rows that the band before has expanded are kept
};

/// A decoded knob vector.
struct FusedSchedule {
  StageFusion fusion;
  int rows;          // of the output in a band; 0 at the root
  bool by_channels;  // a band's rows are expanded for one channel tile of the depthwise convolution at a time
  std::optional<ConvSchedule> expand;
  DepthwiseSchedule depthwise;
  std::optional<ConvSchedule> project;

  int last_tile_height() const { return project ? project->tile_height : depthwise.tile_height; }
  bool last_parallel() const { return project ? project->parallel : depthwise.parallel; }
};
FusedSchedule decode_fused(const Subgraph& subgraph, const Knobs& knobs);

}  // namespace sonar
