// Labelled images in memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "train/split.h"

namespace sonar {

struct DatasetOptions {
  std::string path;       // CIFAR-10's binary format or images in class folders; a folder or an archive
  std::string test_path;  // held-out images of the same classes; empty: given in `path`, or made from it
  SplitOptions split;
  int resolution = 0;                  // pixels; images are cropped to a square and resized. 0: kept as they are
  double max_corrupt_fraction = 0.01;  // of the images used; more damaged ones than that are an error
};

struct Dataset {
  std::vector<std::string> classes;
  int resolution = 0;
  std::vector<uint8_t> pixels;       // [image][resolution][resolution][3], RGB
  std::vector<int> labels;           // [image]
  Split split;                       // image numbers; no damaged images. `test` is never used in a search
  std::vector<std::string> corrupt;  // names of damaged images, left out, with the reason
  std::vector<std::string> notes;    // what else was left out, one sentence each

  size_t image_bytes() const { return size_t(resolution) * resolution * 3; }
};

/// Reads everything; the same images, seed and options give the same split, be they a folder or an archive.
/// Throws UserError with one clear message on every defect of the data set.
Dataset load_dataset(const DatasetOptions& options, uint64_t seed);

}  // namespace sonar
