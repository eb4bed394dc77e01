#include "train/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

/// Takes round(fraction * size) images, at least one, off the end of the group.
std::vector<int> take(std::vector<int>& group, double fraction) {
  const long count = std::min<long>(long(group.size()), std::max(1L, std::lround(fraction * double(group.size()))));
  std::vector<int> taken(group.end() - count, group.end());
  group.resize(group.size() - size_t(count));
  return taken;
}

void limit(std::vector<int>& order, long count, size_t classes, const char* name) {
  if (count <= 0) return;
  if (count < long(classes)) {
    throw UserError(
        fmt::format("data.{} = {} leaves classes without an image: there are {} classes; raise it or "
                    "leave it out",
                    name, count, classes));
  }
  if (count < long(order.size())) order.resize(size_t(count));
}

}  // namespace

std::vector<int> stratified_order(const ClassGroups& groups, uint64_t seed) {
  Random random(derive_seed(seed, "stratified order"));
  std::vector<int> class_order(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) class_order[i] = int(i);
  random.shuffle(class_order);  // so that a beginning of few images does not favour the first classes

  struct Place {
    double share;  // how much of its class comes before this image
    int rank, image;
  };
  std::vector<Place> places;
  for (size_t rank = 0; rank < groups.size(); ++rank) {
    std::vector<int> group = groups[size_t(class_order[rank])];
    random.shuffle(group);
    for (size_t i = 0; i < group.size(); ++i) {
      places.push_back({(double(i) + 0.5) / double(group.size()), int(rank), group[i]});
    }
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return std::pair(a.share, a.rank) < std::pair(b.share, b.rank); });
  std::vector<int> order;
  order.reserve(places.size());
  for (const Place& place : places) order.push_back(place.image);
  return order;
}

Split make_split(const ClassGroups& train, const ClassGroups& test, const std::vector<std::string>& classes,
                 const SplitOptions& options, uint64_t seed) {
  if (!(options.val_fraction > 0 && options.val_fraction < 1)) {
    throw UserError(
        fmt::format("data.val_fraction = {} must be above 0 and below 1: networks are judged by their "
                    "validation accuracy",
                    options.val_fraction));
  }
  if (!(options.test_fraction >= 0 && options.test_fraction < 1)) {
    throw UserError(fmt::format("data.test_fraction = {} must be at least 0 and below 1", options.test_fraction));
  }
  const bool make_test = test.empty() && options.test_fraction > 0;
  ClassGroups remaining = train, val(train.size()), held_out = test.empty() ? ClassGroups(train.size()) : test;
  for (size_t label = 0; label < train.size(); ++label) {
    Random random(derive_seed(seed, "split of " + classes[label]));
    std::vector<int>& group = remaining[label];
    random.shuffle(group);
    const size_t parts = make_test ? 3 : 2;
    if (group.size() < parts) {
      throw UserError(
          fmt::format("class {} has only {} training image{}; at least {} are needed to set one aside for "
                      "{}",
                      classes[label], group.size(), group.size() == 1 ? "" : "s", parts,
                      make_test ? "validation and one for the test" : "validation"));
    }
    if (make_test) held_out[label] = take(group, options.test_fraction);
    if (group.size() > 1) val[label] = take(group, options.val_fraction);
    if (group.empty() || val[label].empty()) {
      throw UserError(
          fmt::format("class {}: of its {} images none is left to {} after data.test_fraction = {} and "
                      "data.val_fraction = {}; lower them or add images",
                      classes[label], train[label].size(), group.empty() ? "train on" : "validate on",
                      options.test_fraction, options.val_fraction));
    }
  }
  Split split{stratified_order(remaining, derive_seed(seed, "train")), stratified_order(val, derive_seed(seed, "val")),
              stratified_order(held_out, derive_seed(seed, "test"))};
  limit(split.train, options.limit_train, classes.size(), "limit_train");
  limit(split.val, options.limit_val, classes.size(), "limit_val");
  limit(split.test, options.limit_test, classes.size(), "limit_test");
  return split;
}

}  // namespace sonar
