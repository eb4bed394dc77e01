#include "search/trainer_client.h"

#include <nlohmann/json.hpp>

#include "model/error.h"

namespace sonar {
namespace {

using nlohmann::json;

ProcessOptions trainer_process(int core) {
  ProcessOptions options;
  options.command = {sibling_executable("sonar-trainer")};
  if (core >= 0) options.cores = {core};
  return options;
}

void raise(const json& answer) {
  const std::string text = answer.value("error", "");
  const std::string kind = answer.value("error_kind", "internal");
  if (kind == "user") throw UserError(text);
  if (kind == "environment") throw EnvironmentError(text);
  throw InternalError("trainer: " + text);
}

}  // namespace

TrainerClient::TrainerClient(const Config& config, int core, const std::string& device, const std::atomic<bool>* stop)
    : process_(trainer_process(core)), stop_(stop) {
  const auto& d = config.data;
  const auto& t = config.train;
  const json data{{"path", d.path},
                  {"test_path", d.test_path},
                  {"val_fraction", d.val_fraction},
                  {"test_fraction", d.test_fraction},
                  {"limit_train", d.limit_train},
                  {"limit_val", d.limit_val},
                  {"limit_test", d.limit_test},
                  {"resolution", d.resolution},
                  {"max_corrupt_fraction", d.max_corrupt_fraction}};
  const json train{{"batch", t.batch},
                   {"learning_rate", t.learning_rate},
                   {"momentum", t.momentum},
                   {"weight_decay", t.weight_decay},
                   {"label_smoothing", t.label_smoothing},
                   {"ema", t.ema},
                   {"crop_padding", t.crop_padding},
                   {"flip", t.flip},
                   {"epochs", t.epochs},
                   {"bf16", t.bf16},
                   {"checkpoint_seconds", t.checkpoint_seconds}};
  send(json{{"request", "open"}, {"data", data}, {"train", train}, {"device", device}, {"seed", config.search.seed}}
           .dump());
  const json answer = json::parse(receive());
  answer.at("classes").get_to(data_.classes);
  answer.at("corrupt").get_to(data_.corrupt);
  answer.at("notes").get_to(data_.notes);
  answer.at("train_images").get_to(data_.train_images);
  answer.at("val_images").get_to(data_.val_images);
  answer.at("test_images").get_to(data_.test_images);
  answer.at("steps_per_epoch").get_to(data_.steps_per_epoch);
}

void TrainerClient::send(const std::string& request) {
  json with_id = json::parse(request);
  with_id["id"] = next_id_;
  if (!process_.write_line(with_id.dump())) throw TrainerGone("the trainer " + process_.kill().describe());
}

/// The next line that answers the last request; errors are thrown.
std::string TrainerClient::receive() {
  for (;;) {
    std::string line;
    const ChildProcess::Read read = process_.read_line(line, 0.1);
    if (stop_ && stop_->load()) throw Stopped();
    if (read == ChildProcess::Read::timeout) continue;
    if (read == ChildProcess::Read::closed) throw TrainerGone("the trainer " + process_.kill().describe());
    json answer;
    try {
      answer = json::parse(line);
    } catch (const json::exception&) {
      throw TrainerGone("the trainer wrote what is no JSON: " + line.substr(0, 200));
    }
    if (answer.value("id", 0L) != next_id_) continue;  // of a request that was given up
    if (answer.contains("error") || answer.value("done", false)) ++next_id_;
    if (answer.contains("error")) raise(answer);
    return line;
  }
}

void TrainerClient::train(const TrainRequest& request, const std::function<void(long, double)>& progress,
                          const std::function<void(const TrainPoint&)>& point) {
  json message{{"request", "train"},
               {"network", request.job.network},
               {"graph", json::parse(request.graph_json)},
               {"from_step", request.job.from_step},
               {"to_step", request.job.to_step},
               {"full_steps", request.full_steps},
               {"val_images", request.job.val_images},
               {"folder", request.folder}};
  if (request.first_validation > 0) message["first_validation"] = request.first_validation;
  if (const auto& origin = request.origin; !origin.folder.empty())
    message["origin"] = {{"graph", json::parse(origin.graph_json)}, {"folder", origin.folder}, {"step", origin.step}};
  send(message.dump());
  for (;;) {
    const json answer = json::parse(receive());
    if (answer.contains("point")) {
      const json& p = answer["point"];
      TrainPoint result;
      result.network = request.job.network;
      p.at("step").get_to(result.step);
      p.at("val_accuracy").get_to(result.val_accuracy);
      result.train_loss = p.at("train_loss").is_number() ? p.at("train_loss").get<double>() : -1;
      p.at("seconds").get_to(result.seconds);
      p.at("val_images").get_to(result.val_images);
      point(result);
    } else if (answer.value("progress", false)) {
      progress(answer.at("step"), answer.at("seconds"));
    }
    if (answer.value("done", false)) return;
  }
}

double TrainerClient::seconds_per_step(const std::string& network, const std::string& graph_json, int steps) {
  send(json{{"request", "time"}, {"network", network}, {"graph", json::parse(graph_json)}, {"steps", steps}}.dump());
  return json::parse(receive()).at("seconds_per_step");
}

double TrainerClient::accuracy(const std::string& network, const std::string& graph_json, const std::string& folder,
                               long step, const std::string& split) {
  send(json{{"request", "test"},
            {"network", network},
            {"graph", json::parse(graph_json)},
            {"folder", folder},
            {"step", step},
            {"split", split}}
           .dump());
  return json::parse(receive()).at("accuracy");
}

}  // namespace sonar
