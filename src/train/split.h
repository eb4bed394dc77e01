// Which images train, validate and test: seeded, stratified by class, the same for a folder and an archive of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sonar {

/// Image numbers of each class, in a canonical order.
using ClassGroups = std::vector<std::vector<int>>;

struct SplitOptions {
  double val_fraction = 0.1;   // of the training images, in (0, 1)
  double test_fraction = 0.1;  // where no test images are given, in [0, 1); 0: there is no test part
  long limit_train = 0, limit_val = 0, limit_test = 0;  // images; 0: all
};

struct Split {
  std::vector<int> train, val, test;  // in an order of which every beginning is balanced
};

/// All images, so ordered that every beginning of the order holds the classes in the proportion of the whole (to within
/// one image a class).
std::vector<int> stratified_order(const ClassGroups& groups, uint64_t seed);

/// `test` is empty when no test part is given. Validation, and then a made test part, are taken from `train`; limits
/// apply after that. Throws UserError naming the class with too few images, or a limit below one image a class.
Split make_split(const ClassGroups& train, const ClassGroups& test, const std::vector<std::string>& classes,
                 const SplitOptions& options, uint64_t seed);

}  // namespace sonar
