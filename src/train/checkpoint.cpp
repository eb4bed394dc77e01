#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/random.h"
#include "sonar/error.h"
#include "train/durable_file.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;  // of the header

json header_of(const Checkpoint& checkpoint) {
  json points = json::array();
  for (const TrainPoint& p : checkpoint.points) {
    points.push_back({{"step", p.step},
                      {"val_accuracy", p.val_accuracy},
                      {"train_loss", p.train_loss},
                      {"seconds", p.seconds},
                      {"val_images", p.val_images}});
  }
  return {{"format", kFormat},
          {"identity", checkpoint.identity},
          {"step", checkpoint.step},
          {"seconds", checkpoint.seconds},
          {"loss_sum", checkpoint.loss_sum},
          {"loss_steps", checkpoint.loss_steps},
          {"diverged", checkpoint.diverged},
          {"points", points}};
}

void read_header(const json& header, Checkpoint& checkpoint) {
  checkpoint.identity = header.at("identity").get<std::string>();
  checkpoint.step = header.at("step").get<long>();
  checkpoint.seconds = header.at("seconds").get<double>();
  checkpoint.loss_sum = header.at("loss_sum").get<double>();
  checkpoint.loss_steps = header.at("loss_steps").get<long>();
  checkpoint.diverged = header.at("diverged").get<bool>();
  for (const json& p : header.at("points")) {
    checkpoint.points.push_back({"", p.at("step").get<long>(), p.at("val_accuracy").get<double>(),
                                 p.at("train_loss").get<double>(), p.at("seconds").get<double>(),
                                 p.at("val_images").get<int>()});
  }
}

}  // namespace

std::string graph_identity(const Graph& graph) { return fmt::format("{:016x}", stable_hash(graph_to_json(graph))); }

std::string checkpoint_path(const std::string& folder, long step) {
  return (fs::path(folder) / (std::to_string(step) + ".pt")).string();
}

void save_checkpoint(const std::string& folder, const Checkpoint& checkpoint) {
  torch::serialize::OutputArchive archive;
  archive.write("header", c10::IValue(header_of(checkpoint).dump()));
  archive.write("weights", checkpoint.weights, /*is_buffer=*/true);
  archive.write("statistics", checkpoint.statistics, true);
  archive.write("velocity", checkpoint.velocity, true);
  if (checkpoint.average_weights.defined()) {
    archive.write("average_weights", checkpoint.average_weights, true);
    archive.write("average_statistics", checkpoint.average_statistics, true);
  }
  std::ostringstream bytes;
  archive.save_to(bytes);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw EnvironmentError(fmt::format("cannot make the folder {}: {}", folder, error.message()));
  write_file_durably(checkpoint_path(folder, checkpoint.step), bytes.str());
}

Checkpoint load_checkpoint(const std::string& folder, long step, const std::string& identity) {
  const std::string path = checkpoint_path(folder, step);
  if (!fs::exists(path)) {
    throw EnvironmentError(fmt::format("the checkpoint {} is missing; train this network again", path));
  }
  Checkpoint checkpoint;
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(path);
    c10::IValue header;
    archive.read("header", header);
    read_header(json::parse(header.toStringRef()), checkpoint);
    archive.read("weights", checkpoint.weights, true);
    archive.read("statistics", checkpoint.statistics, true);
    archive.read("velocity", checkpoint.velocity, true);
    if (archive.try_read("average_weights", checkpoint.average_weights, true)) {
      archive.read("average_statistics", checkpoint.average_statistics, true);
    }
  } catch (const std::exception&) {
    throw EnvironmentError(
        fmt::format("the checkpoint {} is damaged; remove it, and training goes on from the one "
                    "before it",
                    path));
  }
  if (checkpoint.identity != identity) {
    throw UserError(
        fmt::format("the checkpoint {} belongs to another network or graph; give each network a folder of "
                    "its own",
                    path));
  }
  return checkpoint;
}

std::vector<long> list_checkpoints(const std::string& folder) {
  std::vector<long> steps;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string stem = it->path().stem().string();
    long step = 0;
    const auto [rest, problem] = std::from_chars(stem.data(), stem.data() + stem.size(), step);
    if (it->path().extension() == ".pt" && problem == std::errc{} && rest == stem.data() + stem.size()) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace sonar
