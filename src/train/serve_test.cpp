// The protocol, spoken with the real sonar-trainer over pipes.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "graph/parameters.h"
#include "process/process.h"
#include "train/test_graphs.h"
#include "train/test_images.h"

namespace sonar {
namespace {

using nlohmann::json;

ProcessOptions trainer_command() {
  ProcessOptions options;
  options.command = {SONAR_BIN_DIR "/sonar-trainer"};
  return options;
}

class TrainerProcess {
 public:
  TrainerProcess() : child_(trainer_command()) {}

  /// Sends one line as it is and returns the answer's lines; the last has "done" or "error".
  std::vector<json> say(const std::string& line) {
    EXPECT_TRUE(child_.write_line(line));
    std::vector<json> answers;
    for (std::string answer; child_.read_line(answer, 60) == ChildProcess::Read::line;) {
      answers.push_back(json::parse(answer));
      if (answers.back().contains("done") || answers.back().contains("error")) return answers;
    }
    ADD_FAILURE() << "the trainer fell silent after: " << line.substr(0, 200);
    return {json::object()};
  }

  std::vector<json> ask(const std::string& kind, json fields) {
    fields["request"] = kind;
    fields["id"] = ++id_;
    const std::vector<json> answers = say(fields.dump());
    for (const json& answer : answers) EXPECT_EQ(answer.value("id", json()), id_) << answer;
    return answers;
  }

  ChildProcess& child() { return child_; }

 private:
  ChildProcess child_;
  int id_ = 0;
};

class Protocol : public testing::Test {
 protected:
  Protocol() { write_files(folder_.path("data"), class_folder_images({"bird", "cat", "dog"}, 24, 16)); }

  json open_fields() const {
    return {{"data", {{"path", folder_.path("data")}, {"val_fraction", 0.25}}},
            {"train", {{"batch", 6}, {"learning_rate", 0.05}}},
            {"device", "cpu"},
            {"seed", 1}};
  }
  json graph() const {
    return json::parse(graph_to_json(make_test_network({.resolution = 16, .classes = 3, .width = 4})));
  }
  json train_fields(long from, long to) const {
    return {{"network", "net"},
            {"graph", graph()},
            {"from_step", from},
            {"to_step", to},
            {"full_steps", 40},
            {"val_images", 9},
            {"folder", folder_.path("net")}};
  }

  TemporaryFolder folder_;
  TrainerProcess trainer_;
};

std::vector<json> points_of(const std::vector<json>& answers) {
  std::vector<json> points;
  for (const json& answer : answers) {
    if (answer.contains("point")) points.push_back(answer["point"]);
  }
  return points;
}

TEST_F(Protocol, ASearchsConversation) {
  const json opened = trainer_.ask("open", open_fields()).back();
  ASSERT_TRUE(opened.value("done", false)) << opened;
  EXPECT_EQ(opened["classes"], (json{"bird", "cat", "dog"}));
  EXPECT_EQ(opened["train_images"], 48);
  EXPECT_EQ(opened["val_images"], 18);
  EXPECT_EQ(opened["test_images"], 6);
  EXPECT_EQ(opened["steps_per_epoch"], 8);
  EXPECT_EQ(opened["corrupt"], json::array());

  const json timed = trainer_.ask("time", {{"network", "net"}, {"graph", graph()}, {"steps", 2}}).back();
  EXPECT_GT(timed["seconds_per_step"], 0) << timed;
  EXPECT_FALSE(std::filesystem::exists(folder_.path("net")));

  const auto first = trainer_.ask("train", train_fields(0, 10));
  ASSERT_TRUE(first.back().value("done", false)) << first.back();
  const auto points = points_of(first);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0]["step"], 8);
  EXPECT_EQ(points[1]["step"], 10);
  for (const json& point : points) {
    EXPECT_EQ(point["val_images"], 9);
    EXPECT_GE(point["val_accuracy"], 0);
    EXPECT_LE(point["val_accuracy"], 1);
    EXPECT_TRUE(point["train_loss"].is_number());
    EXPECT_GT(point["seconds"], 0);
  }
  EXPECT_TRUE(std::filesystem::exists(folder_.path("net/10.pt")));

  const auto second = trainer_.ask("train", train_fields(10, 40));
  ASSERT_TRUE(second.back().value("done", false)) << second.back();
  EXPECT_EQ(points_of(second).back()["step"], 40);

  const json tested = trainer_
                          .ask("test", {{"network", "net"},
                                        {"graph", graph()},
                                        {"folder", folder_.path("net")},
                                        {"step", 40},
                                        {"split", "test"}})
                          .back();
  EXPECT_EQ(tested["images"], 6) << tested;
  EXPECT_GT(tested["accuracy"], 0.5);

  const json written =
      trainer_
          .ask("parameters",
               {{"graph", graph()}, {"folder", folder_.path("net")}, {"step", 40}, {"path", folder_.path("net.f32")}})
          .back();
  EXPECT_TRUE(written.value("done", false)) << written;
  long count = 0;
  for (const auto& [name, size] : parameter_sizes(graph_from_json(graph().dump()))) count += size;
  EXPECT_EQ(std::filesystem::file_size(folder_.path("net.f32")), size_t(count) * 4);
}

TEST_F(Protocol, AKilledTrainerContinuesInAnother) {
  trainer_.ask("open", open_fields());
  trainer_.ask("train", train_fields(0, 10));
  trainer_.child().kill();
  TrainerProcess other;
  other.ask("open", open_fields());
  const auto resumed = other.ask("train", train_fields(0, 10));
  EXPECT_TRUE(resumed.back().value("done", false)) << resumed.back();
  EXPECT_EQ(points_of(resumed).size(), 2u);
}

TEST_F(Protocol, BadRequestsAreAnsweredAndSurvived) {
  struct Bad {
    std::string line, kind, message;
  };
  json unknown_option = open_fields(), wrong_type = open_fields(), no_data = open_fields(), bad_batch = open_fields();
  json cuda = open_fields();
  unknown_option["train"]["lerning_rate"] = 1;
  wrong_type["train"]["batch"] = "many";
  no_data["data"]["path"] = folder_.path("none");
  bad_batch["train"]["batch"] = 0;
  cuda["device"] = "cuda:63";
  for (json* open : {&unknown_option, &wrong_type, &no_data, &bad_batch, &cuda}) {
    (*open)["request"] = "open";
    (*open)["id"] = 1;
  }
  const std::vector<Bad> lines = {
      {"hello", "user", "this line is no JSON request: "},
      {"[1]", "user", "a request must be a JSON object"},
      {R"({"id": 1})", "user", "request: the field \"request\" is missing"},
      {R"({"id": 1, "request": "dance"})", "user", "unknown request \"dance\"; expected open, train"},
      {R"({"id": 1, "request": "time", "network": "n", "graph": {"nodes": []}, "steps": 1})", "user", "graph"},
      {unknown_option.dump(), "user", "train: unknown field \"lerning_rate\""},
      {wrong_type.dump(), "user", "train: the field \"batch\" has the wrong type: \"many\""},
      {bad_batch.dump(), "user", "train: batch must be between 1 and 65536"},
      {no_data.dump(), "user", folder_.path("none") + ": no such file or folder"},
      {cuda.dump(), "environment", "device cuda:63: "},
  };
  for (const Bad& bad : lines) {
    const json answer = trainer_.say(bad.line).back();
    EXPECT_EQ(answer.value("error_kind", ""), bad.kind) << answer;
    EXPECT_EQ(answer.value("error", "").find(bad.message), 0u) << answer;
  }
  const json unopened = trainer_.ask("train", train_fields(0, 1)).back();
  EXPECT_EQ(unopened.value("error", ""), "no data set is open; send an \"open\" request first");
  EXPECT_TRUE(trainer_.ask("open", open_fields()).back().value("done", false));
}

TEST_F(Protocol, EndsWhenItsInputDoes) {
  const ProcessResult result = run_process(trainer_command(),
                                           R"({"id": 7, "request": "dance"})"
                                           "\n",
                                           60);
  EXPECT_EQ(result.exit_code, 0) << result.describe();
  EXPECT_EQ(json::parse(result.out)["id"], 7);
}

}  // namespace
}  // namespace sonar
