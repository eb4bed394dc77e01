#include "sonar/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "model/error.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

class ConfigTest : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    const fs::path path = fs::path(testing::TempDir()) / "config_test.toml";
    std::ofstream(path) << text;
    return path.string();
  }
  std::string message(const std::string& text, const std::vector<Override>& overrides = {}) {
    try {
      load_config(file(text), overrides);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ConfigTest, ResolvedTomlReadsBackToTheSameValues) {
  Config config =
      load_config(file("[search]\ntime = \"20m\"\ncandidates = 64\n[space]\nwidths = [0.25, 1]\n"
                       "[data]\npath = \"a/b.tar\"\n"));
  EXPECT_EQ(config.search.candidates, 64);
  EXPECT_EQ(config.space.widths, (std::vector<double>{0.25, 1.0}));
  EXPECT_EQ(config.data.path, (fs::weakly_canonical(fs::path(testing::TempDir())) / "a/b.tar").string());
  EXPECT_EQ(flatten(load_config(file(to_toml(config)))), flatten(config));
}

TEST_F(ConfigTest, OverridesWin) {
  Config config = load_config(
      file("[search]\nseed = 3\n"),
      {{"search.seed", "5"}, {"search.time", "90s"}, {"space.resolutions", "[16, 32]"}, {"train.flip", "false"}});
  EXPECT_EQ(config.search.seed, 5);
  EXPECT_EQ(config.search.time, "90s");
  EXPECT_EQ(config.space.resolutions, (std::vector<int64_t>{16, 32}));
  EXPECT_FALSE(config.train.flip);
}

TEST_F(ConfigTest, ErrorsNameTheLineAndTheRemedy) {
  auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' lacks '" << part << "'";
  };
  has(message("[search]\nseed = 1\n\ncandidate = 3\n"),
      "config_test.toml:4: there is no key search.candidate; the nearest is search.candidates");
  has(message("[train]\nepochs = \"eight\"\n"), ":2: train.epochs must be a whole number");
  has(message("[train]\nepochs = 0\n"), "train.epochs is 0; it must be from 1");
  has(message("[search]\nalgorithm = \"paretto\"\n"), "it can be pareto, threshold, brute-force, random");
  has(message("[search\n"), ":1:");
  has(message("seed = 1\n"), "'seed' stands outside of a section; the nearest key is search.seed");
  has(message("[search]\ntime = \"20\"\n"), "'20' is no duration; write 90s");
  has(message("[search]\ntime = \"20m\"\nepochs = 3.0\n"), "exclude each other");
  has(message("[search]\nalgorithm = \"threshold\"\n"), "needs search.threshold_ms");
  has(message("[search]\nalgorithm = \"proxy-command\"\n"), "\"proxy-command\" needs search.proxy, the command");
  has(message("[search]\nproxy = \"time 'a\"\n"), "search.proxy: a quote ' is not closed in: time 'a");
  has(message("[search]\nproxy = \" \"\n"), "search.proxy is blank");
  EXPECT_EQ(message("[search]\nalgorithm = \"proxy-command\"\nproxy = \"time_it\"\n"), "");
  has(message("[search]\nsurvivors = \"half\"\n"),
      "search.survivors is 'half'; it can be paper, at-most-half, crowded");
  has(message("[search]\nsettings = [\"confidence\"]\n"), "search.settings confidence: write key=value");
  has(message("[search]\nsettings = [\"colour=1\"]\n"), "algorithm pareto has no setting 'colour'; it has levels");
  has(message("[search]\nsettings = [\"early_drop=-1\"]\n"), "pareto: early_drop is '-1'; it must be a number from 0");
  has(message("[search]\nalgorithm = \"sonar+\"\nsettings = [\"rounds=1\"]\n"), "rounds is '1'");
  EXPECT_EQ(message("[search]\nalgorithm = \"hyperband\"\nsettings = [\"brackets=2\", \"growth=3\"]\n"), "");
  has(message("[space]\nkernels = [\"3533\"]\n"), "five odd digits");
  has(message("[device]\nthreads = 2\ncores = [1]\n"), "device.threads is 2, but device.cores names 1 core;");
  EXPECT_EQ(message("[device]\nthreads = 2\ncores = [0, 1]\n"), "");
  has(message("", {{"search.sed", "1"}}),
      "the override search.sed=1: there is no key search.sed; the nearest is search.seed");
  has(message("", {{"space.widths", "[]"}}), "must not be empty");
  EXPECT_THROW(load_config("/nowhere/x.toml"), UserError);
}

TEST(Duration, Units) {
  EXPECT_DOUBLE_EQ(parse_duration("90s"), 90);
  EXPECT_DOUBLE_EQ(parse_duration("1.5h"), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("2d"), 172800);
  for (const char* bad : {"", "m", "-1m", "0s", "5 m", "1e400s", "nans"})
    EXPECT_THROW(parse_duration(bad), UserError) << bad;
}

}  // namespace
}  // namespace sonar
