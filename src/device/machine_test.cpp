#include "device/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "device/test_kernels.h"

namespace sonar {
namespace {

void add_cache(const std::string& folder, int index, const char* level, const char* type, const char* size) {
  const std::string path = folder + "/index" + std::to_string(index);
  std::filesystem::create_directories(path);
  std::ofstream(path + "/level") << level << "\n";
  std::ofstream(path + "/type") << type << "\n";
  std::ofstream(path + "/size") << size << "\n";
}

TEST(Machine, CachesAreReadSmallestLevelFirst) {
  const TestFolder folder;
  add_cache(folder.path(), 0, "3", "Unified", "32768K");
  add_cache(folder.path(), 1, "1", "Instruction", "64K");
  add_cache(folder.path(), 2, "1", "Data", "32K");
  add_cache(folder.path(), 3, "2", "Unified", "1M");
  const auto caches = data_caches(folder.path());
  ASSERT_EQ(caches.size(), 3u);
  EXPECT_EQ(caches[0].bytes, 32 << 10);
  EXPECT_EQ(caches[1].bytes, 1 << 20);
  EXPECT_EQ(caches[2].bytes, 32 << 20);
}

TEST(Machine, UnknownCaches) { EXPECT_TRUE(data_caches("/no/such/folder").empty()); }

TEST(Machine, DescriptionNamesTheCores) {
  const std::string text = machine_description();
  EXPECT_NE(text.find(", " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " core"), std::string::npos) << text;
  EXPECT_GT(text.find(','), 2u) << text;
}

}  // namespace
}  // namespace sonar
