#include "search/kept_objects.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sonar {
namespace {

namespace fs = std::filesystem;

class ObjectsOfATest : public testing::Test {
 protected:
  ObjectsOfATest() : folder_(testing::TempDir() + "/kept-objects-" + std::to_string(getpid())) {
    fs::create_directories(folder_);
  }
  ~ObjectsOfATest() override { fs::remove_all(folder_); }
  SharedObject object(const std::string& name, size_t bytes = 10) const {
    const std::string path = folder_ + "/" + name + ".o";
    std::ofstream(path) << std::string(bytes, 'x');
    return std::make_shared<ObjectFile>(path, name);
  }
  bool there(const std::string& name) const { return fs::exists(folder_ + "/" + name + ".o"); }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  std::string folder_;
};

TEST_F(ObjectsOfATest, TheFirstAndTheFastestAreKept) {
  KeptObjects kept;
  kept.offer("s", {0}, object("default"), 9);
  kept.offer("s", {1}, object("slow"), 8);
  kept.offer("s", {2}, object("fast"), 3);
  kept.offer("s", {3}, object("middle"), 5);  // in place of the slow one
  kept.offer("s", {4}, object("slowest"), 20);
  kept.offer("t", {1}, object("other"), 100);
  EXPECT_EQ(files(), 4u);
  for (const char* gone : {"slow", "slowest"}) EXPECT_FALSE(there(gone)) << gone;
  ASSERT_TRUE(kept.find("s", {0}));
  EXPECT_EQ(kept.find("s", {0})->function, "default");
  EXPECT_EQ(kept.find("s", {2})->function, "fast");
  EXPECT_EQ(kept.find("t", {1})->function, "other");
  EXPECT_FALSE(kept.find("s", {1}));
  EXPECT_FALSE(kept.find("t", {0}));
  EXPECT_FALSE(kept.find("u", {0}));
}

TEST_F(ObjectsOfATest, AnotherReadingCountsInPlaceOfTheFirst) {
  KeptObjects kept;
  kept.offer("s", {0}, object("default"), 9);
  kept.offer("s", {1}, object("a"), 3);
  kept.offer("s", {2}, object("b"), 4);
  kept.offer("s", {1}, kept.find("s", {1}), 6);  // it had been too fast
  kept.offer("s", {3}, object("c"), 5);
  EXPECT_TRUE(kept.find("s", {2}));
  EXPECT_TRUE(kept.find("s", {3}));
  EXPECT_FALSE(kept.find("s", {1}));
}

TEST_F(ObjectsOfATest, AFileStaysWhileSomebodyUsesIt) {
  KeptObjects kept;
  kept.offer("s", {0}, object("default"), 9);
  kept.offer("s", {1}, object("a"), 3);
  kept.offer("s", {2}, object("b"), 4);
  SharedObject used = kept.find("s", {2});
  kept.offer("s", {3}, object("c"), 1);
  EXPECT_FALSE(kept.find("s", {2}));
  EXPECT_TRUE(there("b"));
  used.reset();
  EXPECT_FALSE(there("b"));
}

TEST_F(ObjectsOfATest, NoMoreBytesThanAllowed) {
  {
    KeptObjects kept(100);
    kept.offer("s", {0}, object("a", 60), 9);
    kept.offer("t", {0}, object("b", 50), 9);
    kept.offer("u", {0}, object("c", 40), 9);
    EXPECT_TRUE(kept.find("s", {0}));
    EXPECT_FALSE(kept.find("t", {0}));
    EXPECT_TRUE(kept.find("u", {0}));
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_EQ(files(), 0u);
}

}  // namespace
}  // namespace sonar
