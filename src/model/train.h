#pragma once
#include <string>

namespace sonar {

/// One validation of one network at one optimiser step.
struct TrainPoint {
  std::string network;      // Architecture::name
  long step = 0;            // optimiser steps done
  double val_accuracy = 0;  // fraction 0..1 on val_images images
  double train_loss = 0;    // mean over the steps since the last point
  double seconds = 0;       // training time of this network since step 0, validation not counted
  int val_images = 0;
};

/// Train a network further. Safe to repeat: the same job from the same checkpoint gives the same points, bit for bit.
struct TrainJob {
  std::string network;
  long from_step = 0, to_step = 0;
  int val_images = 0;  // size of the validation subset at the end of the slice
};

}  // namespace sonar
