#include "train/class_folders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string_view>

#include "model/error.h"

namespace sonar {
namespace {

using Parts = std::vector<std::string_view>;

Parts split_parts(std::string_view name) {
  Parts parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_train(std::string_view part) { return part == "train" || part == "training"; }
bool is_test(std::string_view part) { return part == "test" || part == "testing"; }
bool is_val(std::string_view part) { return part == "val" || part == "valid" || part == "validation"; }
bool is_split(std::string_view part) { return is_train(part) || is_test(part) || is_val(part); }

/// A folder called "train" of a data set of vehicles is a class: a split's images are one folder deeper.
bool names_split(const Parts& parts, size_t top) { return parts.size() >= top + 3 && is_split(parts[top]); }

/// The number of leading folders that all images in class folders share and that mean nothing.
size_t common_top(const std::vector<Parts>& images) {
  size_t top = 0;
  for (;; ++top) {
    std::set<std::string_view> firsts;
    bool deep = false;  // below the shared folder there is still CLASS/IMAGE
    for (const Parts& parts : images) {
      if (parts.size() < top + 2) continue;  // a picture beside the class folders
      firsts.insert(parts[top]);
      deep = deep || parts.size() >= top + 3;
      if (names_split(parts, top)) return top;
    }
    if (firsts.size() != 1 || !deep) return top;
  }
}

std::string sample(const std::vector<std::string>& names) {
  return names.empty() ? "" : fmt::format(" ({} files of other formats, for instance {})", names.size(), names.front());
}

bool under(std::string_view name, std::string_view folder) {
  return name.size() > folder.size() && name.starts_with(folder) && name[folder.size()] == '/';
}

/// Every class folder that the listing names must hold an image.
void check_class_folders(const std::string& path, const Listing& listing, const ClassFolders& found, size_t top,
                         const std::set<std::string_view>& used_splits) {
  std::set<std::string, std::less<>> filled;
  for (const LabelledName& image : found.images) {
    const Parts parts = split_parts(image.name);
    std::string folder;
    for (size_t i = 0; i < top + (found.given_split ? 2 : 1); ++i) folder += (i ? "/" : "") + std::string(parts[i]);
    filled.insert(folder);
  }
  for (const std::string& folder : listing.folders) {
    const Parts parts = split_parts(folder);
    const size_t depth = top + (found.given_split ? 2 : 1);
    if (parts.size() != depth || is_hidden_name(folder) || filled.count(folder)) continue;
    if (found.given_split && !used_splits.count(parts[top])) continue;
    std::vector<std::string> others;
    for (const std::string& other : listing.others) {
      if (under(other, folder)) others.push_back(other);
    }
    throw UserError(fmt::format("{}: the class folder {} holds no JPEG or PNG images{}; add some or remove the folder",
                                path, folder, sample(others)));
  }
}

}  // namespace

bool is_image_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  std::string extension = name.substr(dot + 1);
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return extension == "jpg" || extension == "jpeg" || extension == "png";
}

bool is_hidden_name(const std::string& name) {
  const Parts parts = split_parts(name);
  return std::any_of(parts.begin(), parts.end(), [](std::string_view part) {
    return (part.starts_with('.') && part != "..") || part == "__MACOSX";
  });
}

ClassFolders find_classes(const std::string& path, const Listing& listing) {
  std::vector<Parts> parts_of;
  for (const std::string& name : listing.images) parts_of.push_back(split_parts(name));
  if (parts_of.empty()) {
    throw UserError(fmt::format("{}: no JPEG or PNG images here{}; expected CLASS/IMAGE or train/CLASS/IMAGE", path,
                                sample(listing.others)));
  }
  const size_t top = common_top(parts_of);

  ClassFolders found;
  std::set<std::string_view> splits;
  for (const Parts& parts : parts_of) {
    if (names_split(parts, top)) splits.insert(parts[top]);
  }
  found.given_split = !splits.empty();
  found.has_train = std::any_of(splits.begin(), splits.end(), is_train);
  const bool has_test = std::any_of(splits.begin(), splits.end(), is_test);

  std::map<std::string, long> left_out;
  std::set<std::string_view> used_splits;
  for (size_t i = 0; i < parts_of.size(); ++i) {
    const Parts& parts = parts_of[i];
    if (found.given_split) {
      if (!names_split(parts, top)) {
        ++left_out[parts.size() > top + 1 ? std::string(parts[top]) + "/" : "pictures beside the class folders"];
      } else if (is_val(parts[top]) && has_test) {
        ++left_out[std::string(parts[top]) + "/ (validation images are drawn from the training images)"];
      } else {
        used_splits.insert(parts[top]);
        found.images.push_back({listing.images[i], std::string(parts[top + 1]), !is_train(parts[top])});
      }
    } else if (parts.size() >= top + 2) {
      found.images.push_back({listing.images[i], std::string(parts[top]), false});
    } else {
      ++left_out["pictures beside the class folders"];
    }
  }
  if (found.images.empty()) {
    throw UserError(
        fmt::format("{}: the images, for instance {}, lie in no class folder; expected CLASS/IMAGE or "
                    "train/CLASS/IMAGE",
                    path, listing.images.front()));
  }
  check_class_folders(path, listing, found, top, used_splits);
  for (const auto& [what, count] : left_out) found.notes.push_back(fmt::format("{} images left out: {}", count, what));
  if (!listing.others.empty()) {
    found.notes.push_back(fmt::format("{} files are no JPEG or PNG images, for instance {}", listing.others.size(),
                                      listing.others.front()));
  }
  std::sort(found.images.begin(), found.images.end(),
            [](const LabelledName& a, const LabelledName& b) { return a.name < b.name; });
  return found;
}

}  // namespace sonar
