// Which images a tree of names holds: CLASS/IMAGE, or train/CLASS/IMAGE beside test/CLASS/IMAGE, under any common top.
#pragma once
#include <string>
#include <vector>

namespace sonar {

/// The names in one folder or archive, as visit_files gives them.
struct Listing {
  std::vector<std::string> images;   // by extension: .jpg, .jpeg, .png
  std::vector<std::string> others;   // every other file
  std::vector<std::string> folders;  // archives may leave some or all out
};

struct LabelledName {
  std::string name, class_name;
  bool test = false;  // in the given held-out part
};

struct ClassFolders {
  std::vector<LabelledName> images;  // sorted by name
  bool given_split = false;          // train/ and test/ (or val/), rather than classes only
  bool has_train = false;            // of a given split
  std::vector<std::string> notes;    // what was left out, one sentence each
};

bool is_image_name(const std::string& name);
/// Hidden files and folders, and the resource forks that macOS adds to archives.
bool is_hidden_name(const std::string& name);

/// Throws UserError, naming `path` and the folder, when there are no images in class folders or a class folder is
/// empty.
ClassFolders find_classes(const std::string& path, const Listing& listing);

}  // namespace sonar
