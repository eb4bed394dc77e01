// Dense layers: vectors run along the outputs (weights packed by tile), or along the inputs (weights as they are).
#pragma once
#include "program/program_space.h"

namespace sonar {

/// A decoded knob vector, in the order of the knobs.
struct DenseSchedule {
  bool along_inputs;  // the vector axis
  int vector;
  int tile_outputs;  // vectors of outputs per tile; single outputs when the vector runs along the inputs
  int tile_batch;
  int partial_sums;  // divides the inputs
  int unroll;        // of what remains of the inputs; divides it
  bool batch_inside;
  bool parallel;
  bool streams;  // weights are packed by vector, and the vectors of a tile lie an equal part of the outputs apart: each
                 // is read as one stream through the whole layer. Otherwise they are packed by tile, one stream
  int tile() const { return along_inputs ? tile_outputs : vector * tile_outputs; }
};
DenseSchedule decode_dense(const Knobs& knobs);

}  // namespace sonar
