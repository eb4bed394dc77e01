// Kinds that read each value once and write it once: add, multiply, scale, activate, concat, resize. All are seen as
// planes of lines of contiguous floats; memory bounds them, so the knobs are few.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// The output as such a program sees it: floats of a line, lines of a plane, planes.
struct ElementwiseShape {
  int floats, lines, planes;
};
ElementwiseShape elementwise_shape(const Subgraph& subgraph);

/// A decoded knob vector, in the order of the knobs.
struct ElementwiseSchedule {
  int vector, tile_vectors;
  int tile_lines;
  bool lines_inside;  // the inner of the two tile loops: over lines, or along a line
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
ElementwiseSchedule decode_elementwise(const Knobs& knobs);

}  // namespace sonar
