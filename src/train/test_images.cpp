#include "train/test_images.h"

#include <archive.h>
#include <archive_entry.h>
#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "model/random.h"

namespace sonar {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "sonar-train-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  root_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

Image make_image(int width, int height, int red, int green, int blue, uint64_t seed) {
  Image image{width, height, Bytes(size_t(width) * size_t(height) * 3)};
  Random random(seed);
  const int colour[3] = {red, green, blue};
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    image.rgb[i] = uint8_t(std::clamp(colour[i % 3] + int(random.below(21)) - 10, 0, 255));
  }
  return image;
}

Bytes encode_jpeg(const Image& image, int quality) {
  tjhandle handle = tjInitCompress();
  unsigned char* data = nullptr;
  unsigned long size = 0;
  const int status = tjCompress2(handle, image.rgb.data(), image.width, 0, image.height, TJPF_RGB, &data, &size,
                                 TJSAMP_444, quality, 0);
  Bytes bytes(data, data + (status == 0 ? size : 0));
  tjFree(data);
  tjDestroy(handle);
  if (bytes.empty()) throw std::runtime_error("tjCompress2 failed");
  return bytes;
}

Bytes encode_png(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png_uint_32(image.width);
  png.height = png_uint_32(image.height);
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_get_memory_size(png, size, 0, image.rgb.data(), 0, nullptr);
  Bytes bytes(size);
  if (!png_image_write_to_memory(&png, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr)) {
    throw std::runtime_error("png_image_write_to_memory failed");
  }
  bytes.resize(size);
  return bytes;
}

NamedFiles class_folder_images(const std::vector<std::string>& classes, int per_class, int side,
                               const std::string& prefix, uint64_t seed) {
  NamedFiles files;
  for (size_t c = 0; c < classes.size(); ++c) {
    for (int i = 0; i < per_class; ++i) {
      char name[32];
      std::snprintf(name, sizeof name, "/%04d.jpg", i);
      files[prefix + classes[c] + name] = encode_jpeg(make_image(side, side, int(40 + 60 * c), int(200 - 40 * c),
                                                                 i % 256, seed * 1000003 + c * 1009 + uint64_t(i)));
    }
  }
  return files;
}

void write_file(const std::string& path, const Bytes& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  if (!out) throw std::runtime_error("cannot write " + path);
}

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

void write_files(const std::string& folder, const NamedFiles& files) {
  for (const auto& [name, bytes] : files) write_file(folder + "/" + name, bytes);
}

void write_archive(const std::string& path, ArchiveKind kind, const NamedFiles& files, const std::string& prefix) {
  archive* a = archive_write_new();
  kind == ArchiveKind::zip ? archive_write_set_format_zip(a) : archive_write_set_format_pax_restricted(a);
  if (kind == ArchiveKind::tar_gz) archive_write_add_filter_gzip(a);
  if (kind == ArchiveKind::tar_xz) archive_write_add_filter_xz(a);
  bool good = archive_write_open_filename(a, path.c_str()) == ARCHIVE_OK;
  for (const auto& [name, bytes] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, (prefix + name).c_str());
    archive_entry_set_size(entry, la_int64_t(bytes.size()));
    archive_entry_set_filetype(entry, name.ends_with("/") ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    good = good && archive_write_header(a, entry) == ARCHIVE_OK;
    if (!bytes.empty()) good = good && archive_write_data(a, bytes.data(), bytes.size()) == la_ssize_t(bytes.size());
    archive_entry_free(entry);
  }
  good = archive_write_close(a) == ARCHIVE_OK && good;
  archive_write_free(a);
  if (!good) throw std::runtime_error("cannot write the archive " + path);
}

}  // namespace sonar
