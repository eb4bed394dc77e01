#include "train/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "model/error.h"
#include "train/class_folders.h"
#include "train/files.h"
#include "train/image_decode.h"

namespace sonar {
namespace {

constexpr int kCifarSide = 32;
constexpr size_t kCifarRecord = 1 + 3 * kCifarSide * kCifarSide;  // label, then a red, a green and a blue plane

/// Where decoded images go, whatever they come from.
struct Store {
  int resolution = 0;  // 0 until the first image sets it
  std::string first_name;
  std::vector<uint8_t> pixels;
  int count = 0;

  int add(const std::string& name, const Image& image) {
    if (resolution == 0) {
      if (image.width != image.height) {
        throw UserError(fmt::format("{} is {}x{}, not square; set data.resolution, and images are cropped and resized",
                                    name, image.width, image.height));
      }
      resolution = image.width;
      first_name = name;
    }
    if (fixed_size && (image.width != resolution || image.height != resolution)) {
      throw UserError(
          fmt::format("images differ in size: {} is {}x{}, {} is {}x{}; set data.resolution, and they are "
                      "resized",
                      first_name, resolution, resolution, name, image.width, image.height));
    }
    const size_t bytes = size_t(resolution) * resolution * 3;
    pixels.resize(pixels.size() + bytes);
    resize_to_square(image, resolution, &pixels[pixels.size() - bytes]);
    return count++;
  }

  bool fixed_size = false;  // data.resolution = 0: no image is resized
};

/// One path and what has been decoded of it so far.
struct Source {
  std::string path;
  Listing listing;
  std::unordered_map<std::string, int> slots;            // decoded image -> its number in the store
  std::unordered_map<std::string, std::string> damaged;  // image -> why
  std::vector<LabelledName> cifar;                       // sorted by name; empty: not CIFAR-10's binary format
  std::vector<std::string> cifar_classes;                // by label
};

std::string base_name(const std::string& name) { return name.substr(name.rfind('/') + 1); }

bool is_cifar_batch(const std::string& name) {
  const std::string base = base_name(name);
  return base == "test_batch.bin" || (base.starts_with("data_batch_") && base.ends_with(".bin"));
}

bool is_cifar_file(const std::string& name) { return is_cifar_batch(name) || base_name(name) == "batches.meta.txt"; }

void decode_into(Source& source, Store& store, const std::string& name, std::span<const uint8_t> bytes) {
  Image image;
  DecodeError error;
  if (decode_image(bytes, store.fixed_size ? 0 : store.resolution, image, error)) {
    source.slots[name] = store.add(name, image);
  } else {
    source.damaged[name] = error.why;
  }
}

void read_cifar_batch(Source& source, Store& store, const std::string& name, std::span<const uint8_t> bytes) {
  if (bytes.empty() || bytes.size() % kCifarRecord != 0) {
    throw UserError(fmt::format("{}: {} is cut short: {} bytes are no multiple of a record's {}; fetch it again",
                                source.path, name, bytes.size(), kCifarRecord));
  }
  Image image{kCifarSide, kCifarSide, std::vector<uint8_t>(kCifarRecord - 1)};
  const size_t plane = size_t(kCifarSide) * kCifarSide;
  for (size_t record = 0; record < bytes.size() / kCifarRecord; ++record) {
    const uint8_t* from = bytes.data() + record * kCifarRecord;
    for (size_t i = 0; i < plane; ++i) {
      for (size_t c = 0; c < 3; ++c) image.rgb[i * 3 + c] = from[1 + c * plane + i];
    }
    const std::string record_name = fmt::format("{}:{:05}", base_name(name), record);
    source.slots[record_name] = store.add(record_name, image);
    source.cifar.push_back({record_name, std::to_string(from[0]), base_name(name) == "test_batch.bin"});
  }
}

void read_cifar_meta(Source& source, std::span<const uint8_t> bytes) {
  std::istringstream in(std::string(bytes.begin(), bytes.end()));
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (!line.empty()) source.cifar_classes.push_back(line);
  }
}

/// Lists a source. CIFAR-10 batches, and with `decode_all` every image, are decoded in the same pass.
Source open_source(const std::string& path, bool decode_all, Store& store) {
  Source source;
  source.path = path;
  FileVisitor visitor;
  visitor.folder = [&](const std::string& name) { source.listing.folders.push_back(name); };
  visitor.wanted = [&](const std::string& name) {
    if (is_hidden_name(name)) return false;
    if (is_cifar_file(name)) return true;
    (is_image_name(name) ? source.listing.images : source.listing.others).push_back(name);
    return decode_all && is_image_name(name);
  };
  visitor.file = [&](const std::string& name, std::span<const uint8_t> bytes) {
    if (is_cifar_batch(name)) {
      read_cifar_batch(source, store, name, bytes);
    } else if (is_cifar_file(name)) {
      read_cifar_meta(source, bytes);
    } else {
      decode_into(source, store, name, bytes);
    }
  };
  visitor.unreadable = [&](const std::string& name, const std::string& why) {
    if (is_cifar_file(name)) throw UserError(fmt::format("{}: {}: {}", path, name, why));
    source.damaged[name] = why;
  };
  visit_files(path, visitor);

  auto& images = source.listing.images;  // a tar may hold a name twice; the later one counts
  std::sort(images.begin(), images.end());
  images.erase(std::unique(images.begin(), images.end()), images.end());
  std::sort(source.cifar.begin(), source.cifar.end(),
            [](const LabelledName& a, const LabelledName& b) { return a.name < b.name; });
  return source;
}

/// Puts class names in place of CIFAR-10's label numbers.
void name_cifar_classes(Source& source) {
  if (source.cifar_classes.empty()) {
    for (int i = 0; i < 10; ++i) source.cifar_classes.push_back(std::to_string(i));  // no batches.meta.txt
  }
  for (LabelledName& record : source.cifar) {
    const size_t label = size_t(std::stoi(record.class_name));
    if (label >= source.cifar_classes.size()) {
      throw UserError(
          fmt::format("{}: record {} has label {}, but there are {} classes: this is damaged, or not "
                      "CIFAR-10's binary format",
                      source.path, record.name, label, source.cifar_classes.size()));
    }
    record.class_name = source.cifar_classes[label];
  }
}

ClassFolders images_of(Source& source) {
  if (source.cifar.empty()) return find_classes(source.path, source.listing);
  name_cifar_classes(source);
  ClassFolders found;
  found.images = source.cifar;
  for (const LabelledName& image : found.images) {
    found.given_split = found.given_split || image.test;
    found.has_train = found.has_train || !image.test;
  }
  return found;
}

struct Item {
  Source* source;
  std::string name;
  int label;
};

/// Decodes the images of `wanted` that have not been so far.
void decode_missing(Source& source, const std::unordered_set<std::string>& wanted, Store& store) {
  const auto missing = [&](const std::string& name) {
    return wanted.count(name) && !source.slots.count(name) && !source.damaged.count(name);
  };
  if (std::none_of(wanted.begin(), wanted.end(), missing)) return;
  FileVisitor visitor;
  visitor.folder = [](const std::string&) {};
  visitor.wanted = missing;
  visitor.file = [&](const std::string& name, std::span<const uint8_t> bytes) {
    decode_into(source, store, name, bytes);
  };
  visitor.unreadable = [&](const std::string& name, const std::string& why) { source.damaged[name] = why; };
  visit_files(source.path, visitor);
}

std::vector<std::string> class_names(const ClassFolders& found, const Source& source) {
  if (!source.cifar_classes.empty()) return source.cifar_classes;
  std::set<std::string> names;
  for (const LabelledName& image : found.images) {
    if (!image.test) names.insert(image.class_name);
  }
  return {names.begin(), names.end()};
}

void check_corrupt(const DatasetOptions& options, const std::vector<std::string>& corrupt, size_t images) {
  if (double(corrupt.size()) <= options.max_corrupt_fraction * double(images)) return;
  std::string names;
  for (size_t i = 0; i < std::min<size_t>(3, corrupt.size()); ++i) names += (i ? ", " : "") + corrupt[i];
  if (corrupt.size() > 3) names += ", ...";
  throw UserError(
      fmt::format("{}: {} of {} images cannot be decoded: {}; repair or remove them, or raise "
                  "data.max_corrupt_fraction (now {})",
                  options.path, corrupt.size(), images, names, options.max_corrupt_fraction));
}

/// The images of all sources with their labels, and which may train and which only test.
struct Inventory {
  std::vector<std::string> classes;
  std::map<std::string, size_t> label_of;
  std::vector<Item> items;
  ClassGroups train, test;  // numbers of items
  std::vector<std::string> notes;
};

void add_item(Inventory& inventory, Source& source, const LabelledName& image, bool test) {
  const auto found = inventory.label_of.find(image.class_name);
  if (found == inventory.label_of.end()) {
    throw UserError(fmt::format("{}: class {} of the test part has no training images (test image {})", source.path,
                                image.class_name, image.name));
  }
  const size_t label = found->second;
  (test ? inventory.test : inventory.train)[label].push_back(int(inventory.items.size()));
  inventory.items.push_back({&source, image.name, int(label)});
}

/// `other` is the source of data.test_path, or null: then it alone holds the test images.
Inventory take_inventory(Source& main, Source* other) {
  const ClassFolders found = images_of(main);
  if (found.given_split && !found.has_train) {
    throw UserError(main.path +
                    ": there is a test part but no train/CLASS/IMAGE beside it; name the folder above "
                    "both, or give this one as data.test_path");
  }
  Inventory inventory;
  inventory.classes = class_names(found, main);
  for (size_t label = 0; label < inventory.classes.size(); ++label)
    inventory.label_of[inventory.classes[label]] = label;
  inventory.train.resize(inventory.classes.size());
  inventory.test.resize(inventory.classes.size());
  inventory.notes = found.notes;
  for (const LabelledName& image : found.images) {
    if (!image.test || !other) add_item(inventory, main, image, image.test);
  }
  if (other) {
    const ClassFolders held_out = images_of(*other);
    const bool has_test_part = std::any_of(held_out.images.begin(), held_out.images.end(),
                                           [](const LabelledName& image) { return image.test; });
    for (const LabelledName& image : held_out.images) {
      if (image.test || !has_test_part) add_item(inventory, *other, image, true);
    }
    inventory.notes.insert(inventory.notes.end(), held_out.notes.begin(), held_out.notes.end());
  }
  if (inventory.classes.size() < 2) {
    throw UserError(fmt::format("{}: only one class ({}); a classifier needs at least two class folders", main.path,
                                inventory.classes.empty() ? "none" : inventory.classes.front()));
  }
  return inventory;
}

/// Decodes what the split uses and is not decoded yet.
void decode_split(const Split& split, const Inventory& inventory, Store& store) {
  std::map<Source*, std::unordered_set<std::string>> wanted;
  for (const auto* part : {&split.train, &split.val, &split.test}) {
    for (int number : *part) {
      const Item& item = inventory.items[size_t(number)];
      wanted[item.source].insert(item.name);
    }
  }
  for (auto& [source, names] : wanted) decode_missing(*source, names, store);
}

/// Numbers of items become numbers of decoded images; damaged ones are noted and drop out.
std::vector<int> resolve(const std::vector<int>& part, const Inventory& inventory, Dataset& data) {
  std::vector<int> images;
  for (int number : part) {
    const Item& item = inventory.items[size_t(number)];
    if (const auto slot = item.source->slots.find(item.name); slot != item.source->slots.end()) {
      data.labels[size_t(slot->second)] = item.label;
      images.push_back(slot->second);
    } else {
      const auto why = item.source->damaged.find(item.name);
      data.corrupt.push_back(fmt::format("{} ({})", item.name,
                                         why == item.source->damaged.end() ? "gone since it was listed" : why->second));
    }
  }
  return images;
}

void check_classes_left(const DatasetOptions& options, const Dataset& data) {
  std::vector<int> train_images(data.classes.size());
  for (int image : data.split.train) ++train_images[size_t(data.labels[size_t(image)])];
  for (size_t label = 0; label < data.classes.size(); ++label) {
    if (train_images[label] == 0) {
      throw UserError(
          fmt::format("{}: every training image of class {} is damaged", options.path, data.classes[label]));
    }
  }
  if (data.split.val.empty()) throw UserError(options.path + ": every validation image is damaged");
}

}  // namespace

Dataset load_dataset(const DatasetOptions& options, uint64_t seed) {
  Store store;
  store.resolution = options.resolution;
  store.fixed_size = options.resolution == 0;

  // With limits, an archive is read twice rather than decoded whole; a folder's names cost nothing.
  const bool limited = options.split.limit_train || options.split.limit_val || options.split.limit_test;
  const auto open = [&](const std::string& path) {
    return open_source(path, !limited && !std::filesystem::is_directory(path), store);
  };
  Source main = open(options.path);
  std::optional<Source> other;
  if (!options.test_path.empty()) other = open(options.test_path);
  Inventory inventory = take_inventory(main, other ? &*other : nullptr);

  const bool test_given =
      std::any_of(inventory.test.begin(), inventory.test.end(), [](const auto& group) { return !group.empty(); });
  Split split;
  try {
    split = make_split(inventory.train, test_given ? inventory.test : ClassGroups{}, inventory.classes, options.split,
                       seed);
  } catch (const UserError& error) {
    throw UserError(options.path + ": " + error.what());
  }
  decode_split(split, inventory, store);

  Dataset data;
  data.classes = std::move(inventory.classes);
  data.notes = std::move(inventory.notes);
  data.labels.assign(size_t(store.count), -1);
  data.split = {resolve(split.train, inventory, data), resolve(split.val, inventory, data),
                resolve(split.test, inventory, data)};
  std::sort(data.corrupt.begin(), data.corrupt.end());
  check_corrupt(options, data.corrupt, split.train.size() + split.val.size() + split.test.size());
  check_classes_left(options, data);
  data.resolution = store.resolution;
  data.pixels = std::move(store.pixels);
  return data;
}

}  // namespace sonar
