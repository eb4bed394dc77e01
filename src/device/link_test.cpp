#include "device/link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "device/runner_object.h"
#include "device/test_kernels.h"
#include "model/error.h"

namespace sonar {
namespace {

std::vector<int> guilty(const Linked& linked) {
  std::vector<int> result;
  for (size_t i = 0; i < linked.errors.size(); ++i) {
    if (linked.errors[i]) result.push_back(static_cast<int>(i));
  }
  return result;
}

class Link : public testing::Test {
 protected:
  Linked link(const std::vector<std::string>& objects, const std::vector<std::string>& functions) {
    return linker_.link(objects, functions, folder_.file("batch"));
  }

  TestFolder folder_;
  RunnerLinker linker_{test_device_options(folder_.path())};
};

TEST_F(Link, ObjectsAreLinkedOnceEach) {
  const std::string a = kernel_object("a", "DATA(0)[0] = 1;"), b = kernel_object("b", "DATA(0)[0] = 2;");
  const Linked linked = link({a, b, a}, {"a", "b"});
  EXPECT_EQ(guilty(linked), std::vector<int>());
  EXPECT_EQ(access(linked.executable.c_str(), X_OK), 0);
}

TEST_F(Link, OnlyTheGuiltyAreBlamed) {
  std::vector<std::string> objects, functions;
  for (int i = 0; i < 9; ++i) {
    functions.push_back("k" + std::to_string(i));
    objects.push_back(i == 2 || i == 7 ? c_object("int missing_" + functions[i] + "(void); int " + functions[i] +
                                                  "_argv(void **args) { return missing_" + functions[i] + "(); }")
                                       : kernel_object(functions[i], "DATA(0)[0] = 1;"));
  }
  const Linked linked = link(objects, functions);
  EXPECT_EQ(guilty(linked), (std::vector<int>{2, 7}));
  EXPECT_NE(linked.errors[2]->find("missing_k2"), std::string::npos) << *linked.errors[2];
  EXPECT_NE(linked.errors[7]->find("missing_k7"), std::string::npos) << *linked.errors[7];
  EXPECT_FALSE(linked.executable.empty());
}

TEST_F(Link, AFunctionThatNoObjectDefines) {
  const Linked linked = link({kernel_object("a", "DATA(0)[0] = 1;")}, {"nobody", "a"});
  EXPECT_EQ(guilty(linked), std::vector<int>{0});
  EXPECT_NE(linked.errors[0]->find("nobody_argv"), std::string::npos) << *linked.errors[0];
}

TEST_F(Link, AnObjectThatIsMissingOrNoObject) {
  const std::string text = folder_.file("text.o"), cut = folder_.file("cut.o");
  std::ofstream(text) << "not an object";
  std::filesystem::copy_file(kernel_object("b", "DATA(0)[0] = 2;"), cut);
  std::filesystem::resize_file(cut, 100);
  const Linked linked = link({kernel_object("a", "DATA(0)[0] = 1;"), text, cut, "/no/such/object.o"}, {"a", "b"});
  EXPECT_EQ(guilty(linked), std::vector<int>{1});
  EXPECT_FALSE(linked.executable.empty());
}

TEST_F(Link, ObjectsThatDefineTheSameSymbolDoNotCostTheOthers) {
  const std::string a = c_object("int twin = 1; int a_argv(void **args) { return twin; }");
  const std::string b = c_object("int twin = 2; int b_argv(void **args) { return twin; }");
  const Linked linked = link({a, b}, {"a", "b"});
  ASSERT_EQ(guilty(linked), (std::vector<int>{0, 1}));
  EXPECT_NE(linked.errors[0]->find("twin"), std::string::npos) << *linked.errors[0];
  EXPECT_TRUE(linked.executable.empty());
}

TEST_F(Link, TheRunnerIsCompiledOncePerFolder) {
  DeviceOptions options = test_device_options(folder_.path());
  options.work_folder = folder_.file("fresh");
  const auto runner_time = [&]() -> std::optional<std::filesystem::file_time_type> {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(options.work_folder)) {
      if (entry.path().filename() == "runner.o") return std::filesystem::last_write_time(entry.path());
    }
    return std::nullopt;
  };
  std::filesystem::create_directories(options.work_folder);
  EXPECT_FALSE(runner_time());
  RunnerLinker(options).link({}, {}, folder_.file("one"));
  const auto first = runner_time();
  ASSERT_TRUE(first);
  RunnerLinker(options).link({}, {}, folder_.file("two"));
  EXPECT_EQ(runner_time(), first);
}

std::string complaint(const DeviceOptions& options) {
  try {
    RunnerLinker(options).link({}, {}, options.work_folder + "/batch");
  } catch (const EnvironmentError& e) {
    return e.what();
  }
  return "";
}

TEST_F(Link, AMissingOrUnfitCompilerIsNamedWithTheRemedy) {
  DeviceOptions options = test_device_options(folder_.path());
  options.compiler = "sonar-no-such-c++";
  EXPECT_EQ(complaint(options),
            "sonar-no-such-c++ not found in PATH; install it or give its full path (configuration key "
            "device.compiler; Debian: apt-get install g++)");
  options.compiler = "false";
  EXPECT_EQ(complaint(options),
            "false cannot compile the runner: exited with code 1; set device.compiler to a C++17 compiler");
  options.compiler = "c++ -DNDEBUG";  // a command may have arguments
  EXPECT_EQ(complaint(options), "");
  options.halide_include = "/no/such/folder";
  EXPECT_NE(complaint(options).find("cannot compile the runner: "), std::string::npos) << complaint(options);
  EXPECT_NE(complaint(options).find("HalideRuntime.h: No such file"), std::string::npos) << complaint(options);
  options.compiler = " ";
  EXPECT_THROW(complaint(options), UserError);
}

TEST(BuiltRunner, IsUsedWithTheCompilerThatMadeItOnly) {
  EXPECT_EQ(built_runner_object().substr(0, 4),
            "\x7f"
            "ELF");
  for (const char* other : {"", "false", "sonar-no-such-c++", "/no/such/c++", "c++ -DNDEBUG"})
    EXPECT_FALSE(is_builds_compiler(other)) << other;
}

TEST_F(Link, ARuntimeThatDoesNotLinkIsTheToolchainsFault) {
  DeviceOptions options = test_device_options(folder_.path());
  options.runtime_object = "/no/such/runtime.o";
  EXPECT_NE(complaint(options).find("cannot link a static executable: "), std::string::npos) << complaint(options);
  EXPECT_NE(complaint(options).find("/no/such/runtime.o"), std::string::npos) << complaint(options);
}

TEST(TellingLine, IsTheFirstThatSpeaksOfAnError) {
  EXPECT_EQ(telling_line("a.o: in function `f':\na.c:1: undefined reference to `g'\ncollect2: error: ld returned 1\n"),
            "a.c:1: undefined reference to `g'");
  EXPECT_EQ(telling_line("ld.lld: error: undefined symbol: g\n>>> referenced by a.c\ncollect2: error: ld returned 1\n"),
            "ld.lld: error: undefined symbol: g");
  EXPECT_EQ(telling_line("something\nodd\n"), "odd");
  EXPECT_EQ(telling_line(""), "");
}

}  // namespace
}  // namespace sonar
