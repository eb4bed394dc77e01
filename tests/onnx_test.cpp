// Networks from ONNX files, as a user tunes them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "command.h"
#include "onnx/test_models.h"

namespace sonar::test {
namespace {

using nlohmann::json;

/// No [space] and no [data]: an imported network needs neither.
constexpr char kConfiguration[] = "[search]\nfull_programs = 3\nseed = 3\n";

TEST(TuneOnnx, TunesEachNetworkAndChecksItAsAWhole) {
  const std::pair<const char*, std::string> models[] = {{"residual", resnet_like()},
                                                        {"fire", squeezenet_like()},
                                                        {"excited", mobilenet_v3_like()},
                                                        {"odd", odd_operators()}};
  const Folder folder("tune-onnx");
  folder.write("tune.toml", kConfiguration);
  for (const auto& [name, bytes] : models) {
    SCOPED_TRACE(name);
    const std::string file = std::string(name) + ".onnx";
    folder.write(file, bytes);
    const ProcessResult result =
        sonar({"tune", folder / "tune.toml", "--onnx", folder / file, "--out", folder / name, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json tuned = json::parse(result.out);
    EXPECT_EQ(tuned.at("architecture"), name);
    EXPECT_GT(tuned.at("latency_us").get<double>(), 0);
    // Not null: the whole network ran, and its output was the reference's.
    EXPECT_TRUE(tuned.at("end_to_end_us").is_number()) << result.err;
    for (const json& subgraph : tuned.at("subgraphs")) {
      EXPECT_TRUE(subgraph.at("latency_us").is_number()) << subgraph;
      EXPECT_TRUE(subgraph.at("failures").empty()) << subgraph;
    }
  }
}

TEST(TuneOnnx, BlocksAreOneProgramWithFusion) {
  const Folder folder("tune-onnx-fusion");
  folder.write("tune.toml", kConfiguration);
  folder.write("network.onnx", mobilenet_v2_like());
  std::vector<std::string> command = {"tune",  folder / "tune.toml", "--onnx", folder / "network.onnx",
                                      "--out", folder / "run",       "--json", "search.fusion=true"};
  const ProcessResult result = sonar(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json tuned = json::parse(result.out);
  EXPECT_TRUE(tuned.at("end_to_end_us").is_number()) << result.err;  // the whole network's output was the reference's
  int blocks = 0;
  for (const json& subgraph : tuned.at("subgraphs")) {
    const auto key = subgraph.at("key").get<std::string>();
    blocks += key.rfind("block-", 0) == 0;
    EXPECT_NE(key.rfind("depthwise-", 0), 0u) << key;
    EXPECT_TRUE(subgraph.at("latency_us").is_number()) << subgraph;
    EXPECT_TRUE(subgraph.at("failures").empty()) << subgraph;
  }
  EXPECT_EQ(blocks, 3);
  // The run's subgraphs follow from the key: it cannot go on with another value.
  command.back() = "search.fusion=false";
  const ProcessResult other = sonar(command);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("search.fusion"), std::string::npos) << other.err;
}

TEST(TuneOnnx, ARunIsBoundToItsFile) {
  const Folder folder("tune-onnx-bound");
  folder.write("tune.toml", kConfiguration);
  folder.write("network.onnx", mobilenet_v2_like());
  const std::vector<std::string> command = {"tune",  folder / "tune.toml", "--onnx",     folder / "network.onnx",
                                            "--out", folder / "run",       "--programs", "30"};
  ASSERT_EQ(sonar(command).exit_code, 0);
  EXPECT_EQ(sonar(command).exit_code, 0);
  folder.write("network.onnx", resnet_like());
  const ProcessResult other = sonar(command);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("has another configuration"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("onnx file: "), std::string::npos) << other.err;
}

TEST(TuneOnnx, RefusesInOneLine) {
  const Folder folder("tune-onnx-refused");
  folder.write("tune.toml", kConfiguration);
  ModelBuilder builder({1, 3, 8, 8});
  folder.write("leaky.onnx", builder.finish(builder.node("LeakyRelu", {"image"})));
  folder.write("cut.onnx", resnet_like().substr(0, 1000));
  auto error = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"tune", folder / "tune.toml"});
    const ProcessResult result = sonar(arguments);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_EQ(error({"--onnx", folder / "leaky.onnx", "--out", folder / "a"}),
            "sonar: error: " + (folder / "leaky.onnx") +
                ": node 'LeakyRelu_0' (LeakyRelu): this operator is not imported; docs/onnx.md lists those that are\n");
  EXPECT_EQ(error({"--onnx", folder / "cut.onnx", "--out", folder / "b"}),
            "sonar: error: " + (folder / "cut.onnx") + ": is no ONNX model, or is cut short\n");
  EXPECT_EQ(error({"--out", folder / "c"}),
            "sonar: error: tune: name the network with --arch ARCHITECTURE or --onnx FILE\n");
  EXPECT_NE(error({"--arch", "x", "--onnx", folder / "leaky.onnx"}).find("--arch excludes --onnx"), std::string::npos);
}

}  // namespace
}  // namespace sonar::test
