#include "train/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "sonar/error.h"
#include "train/render.h"
#include "train/test_images.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kClasses = {"bird", "cat", "dog"};

DatasetOptions options_for(const std::string& path) {
  DatasetOptions options;
  options.path = path;
  return options;
}

std::string message_of(const DatasetOptions& options) {
  try {
    load_dataset(options, 1);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

Bytes pixels_of(const Dataset& data, const std::vector<int>& part) {
  Bytes all;
  for (int image : part) {
    const auto begin = data.pixels.begin() + long(size_t(image) * data.image_bytes());
    all.insert(all.end(), begin, begin + long(data.image_bytes()));
  }
  return all;
}

void expect_same(const Dataset& a, const Dataset& b) {
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.resolution, b.resolution);
  EXPECT_EQ(pixels_of(a, a.split.train), pixels_of(b, b.split.train));
  EXPECT_EQ(pixels_of(a, a.split.val), pixels_of(b, b.split.val));
  EXPECT_EQ(pixels_of(a, a.split.test), pixels_of(b, b.split.test));
}

/// The label of every image is told by its colour (class_folder_images).
void expect_right_labels(const Dataset& data) {
  for (const auto* part : {&data.split.train, &data.split.val, &data.split.test}) {
    for (int image : *part) {
      const int red = data.pixels[size_t(image) * data.image_bytes()];
      EXPECT_EQ(data.labels[size_t(image)], int(std::lround((red - 40) / 60.0)));
    }
  }
}

TEST(Dataset, FolderAndEveryArchiveGiveTheSame) {
  TemporaryFolder folder;
  const NamedFiles files = class_folder_images(kClasses, 10, 8);
  write_files(folder.path("images"), files);
  write_archive(folder.path("a.tar"), ArchiveKind::tar, files);
  write_archive(folder.path("a.tar.gz"), ArchiveKind::tar_gz, files, "top/");
  write_archive(folder.path("a.tar.xz"), ArchiveKind::tar_xz, files, "./some/top/");
  write_archive(folder.path("a.zip"), ArchiveKind::zip, files);
  const Dataset expected = load_dataset(options_for(folder.path("images")), 1);
  EXPECT_EQ(expected.classes, kClasses);
  EXPECT_EQ(expected.split.train.size(), 24u);
  EXPECT_EQ(expected.split.val.size(), 3u);
  EXPECT_EQ(expected.split.test.size(), 3u);
  expect_right_labels(expected);
  for (const char* name : {"a.tar", "a.tar.gz", "a.tar.xz", "a.zip"}) {
    SCOPED_TRACE(name);
    expect_same(load_dataset(options_for(folder.path(name)), 1), expected);
  }
}

TEST(Dataset, LimitsReadTheSameImagesFromFoldersAndArchives) {
  TemporaryFolder folder;
  const NamedFiles files = class_folder_images(kClasses, 12, 8);
  write_files(folder.path("images"), files);
  write_archive(folder.path("a.tar.gz"), ArchiveKind::tar_gz, files);
  DatasetOptions options = options_for(folder.path("images"));
  options.split.limit_train = 6;
  const Dataset expected = load_dataset(options, 1);
  EXPECT_EQ(expected.split.train.size(), 6u);
  EXPECT_EQ(expected.pixels.size(), expected.image_bytes() * (6 + 3 + 3)) << "more was decoded than is used";
  options.path = folder.path("a.tar.gz");
  expect_same(load_dataset(options, 1), expected);
}

TEST(Dataset, GivenSplitIsKept) {
  TemporaryFolder folder;
  write_files(folder.path(), class_folder_images(kClasses, 10, 8, "cifar/train/"));
  write_files(folder.path(), class_folder_images(kClasses, 4, 8, "cifar/test/", 2));
  write_files(folder.path(), class_folder_images(kClasses, 2, 8, "cifar/val/", 3));
  write_file(folder.path("cifar/preview.png"), encode_png(make_image(8, 8, 0, 0, 0)));
  const Dataset data = load_dataset(options_for(folder.path()), 1);
  EXPECT_EQ(data.split.train.size() + data.split.val.size(), 30u);
  EXPECT_EQ(data.split.test.size(), 12u);
  expect_right_labels(data);
  ASSERT_EQ(data.notes.size(), 2u);
  EXPECT_EQ(data.notes[0], "1 images left out: pictures beside the class folders");
  EXPECT_EQ(data.notes[1], "6 images left out: val/ (validation images are drawn from the training images)");
}

TEST(Dataset, ValIsTheTestWhereThereIsNoTest) {
  TemporaryFolder folder;
  write_files(folder.path(), class_folder_images(kClasses, 10, 8, "train/"));
  write_files(folder.path(), class_folder_images(kClasses, 4, 8, "val/", 2));
  EXPECT_EQ(load_dataset(options_for(folder.path()), 1).split.test.size(), 12u);
}

TEST(Dataset, TrainMayBeAClass) {
  TemporaryFolder folder;
  write_files(folder.path(), class_folder_images({"bus", "train"}, 10, 8));
  EXPECT_EQ(load_dataset(options_for(folder.path()), 1).classes, (std::vector<std::string>{"bus", "train"}));
}

TEST(Dataset, SeparateTestPathReplacesEveryOtherTestPart) {
  TemporaryFolder folder;
  write_files(folder.path("a"), class_folder_images(kClasses, 10, 8));
  write_archive(folder.path("b.zip"), ArchiveKind::zip, class_folder_images(kClasses, 5, 8, "test/", 9));
  DatasetOptions options = options_for(folder.path("a"));
  options.test_path = folder.path("b.zip");
  const Dataset data = load_dataset(options, 1);
  EXPECT_EQ(data.split.train.size() + data.split.val.size(), 30u);
  EXPECT_EQ(data.split.test.size(), 15u);
  expect_right_labels(data);
}

TEST(Dataset, ResizesToTheResolution) {
  TemporaryFolder folder;
  NamedFiles files = class_folder_images(kClasses, 5, 20);
  files["dog/wide.png"] = encode_png(make_image(40, 20, 160, 120, 0));
  write_files(folder.path(), files);
  EXPECT_NE(message_of(options_for(folder.path())).find("images differ in size: "), std::string::npos);
  EXPECT_NE(message_of(options_for(folder.path())).find("dog/wide.png is 40x20; set data.resolution"),
            std::string::npos);
  DatasetOptions options = options_for(folder.path());
  options.resolution = 12;
  const Dataset data = load_dataset(options, 1);
  EXPECT_EQ(data.resolution, 12);
  EXPECT_EQ(data.pixels.size(), 16u * 12 * 12 * 3);
  expect_right_labels(data);
}

TEST(Dataset, HostileNamesInArchivesAreNames) {
  TemporaryFolder folder;
  NamedFiles files = class_folder_images({"cat", "dog"}, 6, 8, "../../../evil/");
  write_archive(folder.path("a.tar"), ArchiveKind::tar, files);
  write_archive(folder.path("b.tar"), ArchiveKind::tar, class_folder_images({"cat", "dog"}, 6, 8, "/tmp/sonar-evil/"));
  const Dataset a = load_dataset(options_for(folder.path("a.tar")), 1);
  expect_same(a, load_dataset(options_for(folder.path("b.tar")), 1));
  EXPECT_FALSE(fs::exists("/tmp/sonar-evil"));
  EXPECT_FALSE(fs::exists(folder.path("../../../evil")));
}

TEST(Dataset, FewCorruptImagesAreNamedAndLeftOut) {
  TemporaryFolder folder;
  NamedFiles files = class_folder_images(kClasses, 20, 8);
  files["cat/0003.jpg"] = {'n', 'o'};
  files["dog/0007.jpg"].resize(files["dog/0007.jpg"].size() / 2);
  write_files(folder.path("images"), files);
  write_archive(folder.path("a.tar.gz"), ArchiveKind::tar_gz, files);
  DatasetOptions options = options_for(folder.path("images"));
  options.max_corrupt_fraction = 0.05;
  const Dataset data = load_dataset(options, 1);
  ASSERT_EQ(data.corrupt.size(), 2u) << data.corrupt.back();
  EXPECT_EQ(data.corrupt[0], "cat/0003.jpg (neither JPEG nor PNG)");
  EXPECT_EQ(data.corrupt[1].find("dog/0007.jpg ("), 0u);
  EXPECT_EQ(data.split.train.size() + data.split.val.size() + data.split.test.size(), 58u);
  options.path = folder.path("a.tar.gz");
  const Dataset packed = load_dataset(options, 1);
  expect_same(packed, data);
  EXPECT_EQ(packed.corrupt, data.corrupt);

  options.max_corrupt_fraction = 0.02;
  EXPECT_NE(message_of(options).find("a.tar.gz: 2 of 60 images cannot be decoded: cat/0003.jpg (neither JPEG nor PNG), "
                                     "dog/0007.jpg ("),
            std::string::npos);
  EXPECT_NE(message_of(options).find("; repair or remove them, or raise data.max_corrupt_fraction (now 0.02)"),
            std::string::npos);
}

TEST(Dataset, AnEmptyClassFolderIsNamed) {
  TemporaryFolder folder;
  write_files(folder.path("a"), class_folder_images(kClasses, 5, 8, "train/"));
  fs::create_directories(folder.path("a/train/fish"));
  EXPECT_EQ(
      message_of(options_for(folder.path("a"))),
      folder.path("a") + ": the class folder train/fish holds no JPEG or PNG images; add some or remove the folder");
  write_file(folder.path("a/train/fish/nemo.gif"), {'G', 'I', 'F'});
  EXPECT_NE(message_of(options_for(folder.path("a")))
                .find("train/fish holds no JPEG or PNG images (1 files of other formats, for instance "
                      "train/fish/nemo.gif)"),
            std::string::npos);
  NamedFiles files = class_folder_images(kClasses, 5, 8);
  files["fish/"] = {};
  write_archive(folder.path("b.tar"), ArchiveKind::tar, files);
  EXPECT_NE(message_of(options_for(folder.path("b.tar"))).find("the class folder fish holds no"), std::string::npos);
}

TEST(Dataset, OneClearMessageForEachDefect) {
  TemporaryFolder folder;
  EXPECT_EQ(message_of(options_for(folder.path("none"))),
            folder.path("none") + ": no such file or folder (the data set's path)");

  fs::create_directories(folder.path("empty"));
  EXPECT_EQ(message_of(options_for(folder.path("empty"))),
            folder.path("empty") + ": no JPEG or PNG images here; expected CLASS/IMAGE or train/CLASS/IMAGE");

  write_file(folder.path("gif/cat/a.gif"), {'G'});
  EXPECT_EQ(message_of(options_for(folder.path("gif"))),
            folder.path("gif") +
                ": no JPEG or PNG images here (1 files of other formats, for instance cat/a.gif); "
                "expected CLASS/IMAGE or train/CLASS/IMAGE");

  write_files(folder.path("one"), class_folder_images({"cat"}, 5, 8));
  EXPECT_EQ(message_of(options_for(folder.path("one"))),
            folder.path("one") + ": only one class (cat); a classifier needs at least two class folders");

  write_file(folder.path("flat/a.png"), encode_png(make_image(8, 8, 1, 2, 3)));
  EXPECT_NE(message_of(options_for(folder.path("flat"))).find("for instance a.png, lie in no class folder"),
            std::string::npos);

  write_files(folder.path("extra"), class_folder_images({"cat", "dog"}, 5, 8, "train/"));
  write_files(folder.path("extra"), class_folder_images({"cow"}, 5, 8, "test/"));
  EXPECT_NE(message_of(options_for(folder.path("extra"))).find("class cow of the test part has no training images"),
            std::string::npos);

  write_files(folder.path("few"), class_folder_images({"cat", "dog"}, 5, 8));
  write_files(folder.path("few"), class_folder_images({"eel"}, 1, 8));
  EXPECT_NE(message_of(options_for(folder.path("few"))).find("few: class eel has only 1 training image; at least 3"),
            std::string::npos);

  write_files(folder.path("untrained"), class_folder_images(kClasses, 5, 8, "test/"));
  EXPECT_NE(message_of(options_for(folder.path("untrained"))).find("there is a test part but no train/CLASS/IMAGE"),
            std::string::npos);

  write_file(folder.path("text.txt"), {'h', 'e', 'l', 'l', 'o'});
  EXPECT_NE(message_of(options_for(folder.path("text.txt"))).find("expected a folder, or a tar or zip archive"),
            std::string::npos);
}

TEST(Dataset, ATruncatedArchiveIsNeverTakenForAWholeOne) {
  TemporaryFolder folder;
  const NamedFiles files = class_folder_images({"cat", "dog"}, 6, 8);
  for (ArchiveKind kind : {ArchiveKind::tar, ArchiveKind::tar_gz, ArchiveKind::tar_xz, ArchiveKind::zip}) {
    const std::string whole = folder.path("whole"), cut = folder.path("cut");
    write_archive(whole, kind, files);
    const Bytes bytes = read_file(whole);
    // A tar ends in zeros, of which any 512 are end mark enough.
    size_t end = bytes.size();
    while (kind == ArchiveKind::tar && end > 0 && bytes[end - 1] == 0) --end;
    for (size_t length = 0; length + 1 < end; length += std::max<size_t>(1, end / 97)) {
      write_file(cut, Bytes(bytes.begin(), bytes.begin() + long(length)));
      const std::string message = message_of(options_for(cut));
      EXPECT_EQ(message.find(cut + ": "), 0u) << message << " at " << length << " of " << bytes.size();
    }
  }
  const NamedFiles many = class_folder_images({"cat", "dog"}, 40, 8);
  write_archive(folder.path("a.tar.gz"), ArchiveKind::tar_gz, many);
  Bytes bytes = read_file(folder.path("a.tar.gz"));
  bytes.resize(bytes.size() * 3 / 4);
  write_file(folder.path("a.tar.gz"), bytes);
  EXPECT_NE(message_of(options_for(folder.path("a.tar.gz"))).find("this archive is cut short or damaged ("),
            std::string::npos);
}

/// CIFAR-10's layout: a label, then three planes. Red tells the record's number, green the label.
Bytes cifar_batch(int records, int first) {
  Bytes bytes;
  for (int i = 0; i < records; ++i) {
    const uint8_t label = uint8_t((first + i) % 10);
    bytes.push_back(label);
    bytes.insert(bytes.end(), 1024, uint8_t(first + i));
    bytes.insert(bytes.end(), 1024, uint8_t(label * 20));
    for (int p = 0; p < 1024; ++p) bytes.push_back(uint8_t(p / 32 * 8));  // blue: the row
  }
  return bytes;
}

NamedFiles cifar_files() {
  std::string names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
  NamedFiles files;
  for (int b = 0; b < 5; ++b)
    files["cifar-10-batches-bin/data_batch_" + std::to_string(b + 1) + ".bin"] = cifar_batch(20, b * 20);
  files["cifar-10-batches-bin/test_batch.bin"] = cifar_batch(30, 200);
  files["cifar-10-batches-bin/batches.meta.txt"] = Bytes(names.begin(), names.end());
  files["cifar-10-batches-bin/readme.html"] = {'<'};
  return files;
}

TEST(Dataset, ReadsCifarsOwnFormat) {
  TemporaryFolder folder;
  const NamedFiles files = cifar_files();
  write_files(folder.path("unpacked"), files);
  write_archive(folder.path("cifar-10-binary.tar.gz"), ArchiveKind::tar_gz, files);
  const Dataset data = load_dataset(options_for(folder.path("cifar-10-binary.tar.gz")), 1);
  EXPECT_EQ(data.classes.size(), 10u);
  EXPECT_EQ(data.classes[6], "frog");
  EXPECT_EQ(data.resolution, 32);
  EXPECT_EQ(data.split.train.size(), 90u);
  EXPECT_EQ(data.split.val.size(), 10u);
  EXPECT_EQ(data.split.test.size(), 30u);
  for (int image : data.split.train) {
    const uint8_t* pixel = &data.pixels[size_t(image) * data.image_bytes() + (5 * 32 + 3) * 3];
    EXPECT_LT(pixel[0], 100);  // not of the test batch
    EXPECT_EQ(pixel[0] % 10, data.labels[size_t(image)]);
    EXPECT_EQ(pixel[1], data.labels[size_t(image)] * 20);
    EXPECT_EQ(pixel[2], 5 * 8);
  }
  expect_same(load_dataset(options_for(folder.path("unpacked")), 1), data);
  expect_same(load_dataset(options_for(folder.path("unpacked/cifar-10-batches-bin")), 1), data);
}

TEST(Dataset, DamagedCifarFilesAreNamed) {
  TemporaryFolder folder;
  NamedFiles files = cifar_files();
  Bytes& batch = files["cifar-10-batches-bin/data_batch_3.bin"];
  batch.pop_back();
  write_files(folder.path("a"), files);
  EXPECT_NE(
      message_of(options_for(folder.path("a"))).find("data_batch_3.bin is cut short: 61459 bytes are no multiple"),
      std::string::npos);
  batch = cifar_batch(20, 40);
  batch[3073] = 99;
  write_files(folder.path("a"), files);
  EXPECT_NE(message_of(options_for(folder.path("a"))).find("record data_batch_3.bin:00001 has label 99"),
            std::string::npos);
}

TEST(Render, NormalisedTrainingImagesHaveMeanZeroAndDeviationOne) {
  TemporaryFolder folder;
  write_files(folder.path(), class_folder_images(kClasses, 30, 8));
  const Dataset data = load_dataset(options_for(folder.path()), 1);
  std::vector<float> out(data.split.train.size() * data.image_bytes());
  render_batch(data, measure_normalisation(data), plain_batch(data.split.train, 0, data.split.train.size()), 8,
               out.data());
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0, n = double(out.size()) / 3;
    for (size_t i = c; i < out.size(); i += 3) {
      sum += out[i];
      squares += double(out[i]) * out[i];
    }
    EXPECT_NEAR(sum / n, 0, 1e-4);
    EXPECT_NEAR(squares / n, 1, 1e-3);
  }
}

TEST(Render, ShiftsAndFlips) {
  Dataset data;
  data.resolution = 3;
  for (int i = 0; i < 9; ++i) data.pixels.insert(data.pixels.end(), 3, uint8_t(10 * (i + 1)));
  const auto shown = [&](Placement placement) {
    std::vector<float> out(27);
    render_batch(data, {}, {placement}, 3, out.data());
    std::vector<int> first;
    for (size_t i = 0; i < 27; i += 3) first.push_back(int(out[i]));
    return first;
  };
  EXPECT_EQ(shown({}), (std::vector<int>{10, 20, 30, 40, 50, 60, 70, 80, 90}));
  EXPECT_EQ(shown({.shift_y = 1}), (std::vector<int>{40, 50, 60, 70, 80, 90, 0, 0, 0}));
  EXPECT_EQ(shown({.shift_x = -1}), (std::vector<int>{0, 10, 20, 0, 40, 50, 0, 70, 80}));
  EXPECT_EQ(shown({.flip = true}), (std::vector<int>{30, 20, 10, 60, 50, 40, 90, 80, 70}));
  EXPECT_EQ(shown({.shift_x = 1, .flip = true}), (std::vector<int>{20, 10, 0, 50, 40, 0, 80, 70, 0}));
}

}  // namespace
}  // namespace sonar
