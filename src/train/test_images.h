// Images and archives made on the spot, for tests.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "train/image_decode.h"

namespace sonar {

/// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name = "") const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

using Bytes = std::vector<uint8_t>;
using NamedFiles = std::map<std::string, Bytes>;

/// One colour plus a little seeded texture.
Image make_image(int width, int height, int red, int green, int blue, uint64_t seed = 1);
Bytes encode_jpeg(const Image& image, int quality = 95);
Bytes encode_png(const Image& image);

/// `per_class` JPEG images of each class, of a colour of its own, as prefix + CLASS/NNNN.jpg.
NamedFiles class_folder_images(const std::vector<std::string>& classes, int per_class, int side,
                               const std::string& prefix = "", uint64_t seed = 1);

void write_files(const std::string& folder, const NamedFiles& files);
void write_file(const std::string& path, const Bytes& bytes);
Bytes read_file(const std::string& path);

enum class ArchiveKind { tar, tar_gz, tar_xz, zip };
/// Members in the order of the map, each under `prefix`; names are taken as they are, "../" and "/" included.
void write_archive(const std::string& path, ArchiveKind kind, const NamedFiles& files, const std::string& prefix = "");

}  // namespace sonar
