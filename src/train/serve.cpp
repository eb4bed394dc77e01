#include "train/serve.h"

#include <fmt/format.h>

#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "model/error.h"
#include "train/trainer.h"

namespace sonar {
namespace {

using nlohmann::json;

/// Reads the fields of one object. Every complaint names the field; a field that nobody asked for is one.
class Fields {
 public:
  Fields(const json& object, std::string place) : object_(object), place_(std::move(place)) {
    if (!object.is_object()) throw UserError(place_ + " must be a JSON object");
  }

  template <class Value>
  Value get(const char* name) {
    const auto field = object_.find(name);
    if (field == object_.end()) throw UserError(fmt::format("{}: the field \"{}\" is missing", place_, name));
    known_.insert(name);
    return convert<Value>(*field, name);
  }

  template <class Value>
  void read(const char* name, Value& value) {
    known_.insert(name);
    if (const auto field = object_.find(name); field != object_.end()) value = convert<Value>(*field, name);
  }

  void check_all_known() const {
    for (const auto& [name, value] : object_.items()) {
      if (!known_.count(name)) throw UserError(fmt::format("{}: unknown field \"{}\"", place_, name));
    }
  }

 private:
  template <class Value>
  Value convert(const json& value, const char* name) const {
    const bool right = std::is_same_v<Value, bool>          ? value.is_boolean()
                       : std::is_same_v<Value, std::string> ? value.is_string()
                       : std::is_same_v<Value, double>      ? value.is_number()
                       : std::is_same_v<Value, json>        ? true
                                                            : value.is_number_integer();
    if (!right) throw UserError(fmt::format("{}: the field \"{}\" has the wrong type: {}", place_, name, value.dump()));
    return value.get<Value>();
  }

  const json& object_;
  std::string place_;
  std::set<std::string> known_;
};

DatasetOptions read_data_options(const json& object) {
  Fields fields(object, "data");
  DatasetOptions options;
  options.path = fields.get<std::string>("path");
  fields.read("test_path", options.test_path);
  fields.read("val_fraction", options.split.val_fraction);
  fields.read("test_fraction", options.split.test_fraction);
  fields.read("limit_train", options.split.limit_train);
  fields.read("limit_val", options.split.limit_val);
  fields.read("limit_test", options.split.limit_test);
  fields.read("resolution", options.resolution);
  fields.read("max_corrupt_fraction", options.max_corrupt_fraction);
  fields.check_all_known();
  return options;
}

void require(bool holds, const char* what) {
  if (!holds) throw UserError(fmt::format("train: {}", what));
}

TrainOptions read_train_options(const json& object) {
  Fields fields(object, "train");
  TrainOptions options;
  double epochs = 0;  // the coordinator's: a request says in steps what it wants
  fields.read("epochs", epochs);
  fields.read("batch", options.batch);
  fields.read("learning_rate", options.learning_rate);
  fields.read("momentum", options.momentum);
  fields.read("weight_decay", options.weight_decay);
  fields.read("label_smoothing", options.label_smoothing);
  fields.read("ema", options.ema);
  fields.read("crop_padding", options.crop_padding);
  fields.read("flip", options.flip);
  fields.read("bf16", options.bf16);
  fields.read("checkpoint_seconds", options.checkpoint_seconds);
  fields.read("threads", options.threads);
  fields.check_all_known();
  require(options.batch >= 1 && options.batch <= 65536, "batch must be between 1 and 65536");
  require(options.learning_rate > 0, "learning_rate must be above 0");
  require(options.momentum >= 0 && options.momentum < 1, "momentum must be at least 0 and below 1");
  require(options.weight_decay >= 0, "weight_decay must not be negative");
  require(options.label_smoothing >= 0 && options.label_smoothing < 1,
          "label_smoothing must be at least 0 and below 1");
  require(options.ema >= 0 && options.ema < 1, "ema must be at least 0 and below 1");
  require(options.crop_padding >= 0 && options.crop_padding <= 1024, "crop_padding must be between 0 and 1024");
  require(options.checkpoint_seconds > 0, "checkpoint_seconds must be above 0");
  require(options.threads >= 1 && options.threads <= 1024, "threads must be between 1 and 1024");
  return options;
}

class Service {
 public:
  explicit Service(std::ostream& out) : out_(out) {}

  void answer(const std::string& line) {
    id_ = nullptr;
    try {
      const json request = json::parse(line);
      if (!request.is_object()) throw UserError("a request must be a JSON object");
      if (request.contains("id")) id_ = request["id"];
      dispatch(request);
    } catch (const json::exception& error) {
      fail("user", std::string("this line is no JSON request: ") + error.what());
    } catch (const UserError& error) {
      fail("user", error.what());
    } catch (const EnvironmentError& error) {
      fail("environment", error.what());
    } catch (const std::bad_alloc&) {
      fail("environment", "out of memory; set data.resolution or limits, or run fewer trainers at once");
    } catch (const std::exception& error) {
      fail("internal", error.what());
    }
  }

 private:
  void say(json answer) {
    answer["id"] = id_;
    out_ << answer.dump(-1, ' ', false, json::error_handler_t::replace) << "\n" << std::flush;
  }
  void finish(json answer) {
    answer["done"] = true;
    say(std::move(answer));
  }
  void fail(const char* kind, const std::string& message) { say({{"error", message}, {"error_kind", kind}}); }

  void dispatch(const json& object) {
    Fields request(object, "request");
    request.get<json>("id");
    const std::string kind = request.get<std::string>("request");
    if (kind == "open") return open(request);
    if (kind == "train") return train(request);
    if (kind == "time") return time(request);
    if (kind == "test") return test(request);
    if (kind == "parameters") return parameters(request);
    throw UserError("unknown request \"" + kind + "\"; expected open, train, time, test or parameters");
  }

  Trainer& trainer() {
    if (!trainer_) throw UserError("no data set is open; send an \"open\" request first");
    return *trainer_;
  }

  /// The graph may come as an object or as its text.
  static Graph read_graph(Fields& request) {
    const json graph = request.get<json>("graph");
    return graph_from_json(graph.is_string() ? graph.get<std::string>() : graph.dump());
  }

  void open(Fields& request) {
    const DatasetOptions data = read_data_options(request.get<json>("data"));
    const TrainOptions train = read_train_options(request.get<json>("train"));
    const std::string device = request.get<std::string>("device");
    const uint64_t seed = request.get<uint64_t>("seed");
    request.check_all_known();
    trainer_.reset();  // its images are memory that the new ones may need
    trainer_ = std::make_unique<Trainer>(load_dataset(data, seed), train, device, seed);
    const Dataset& opened = trainer_->data();
    finish({{"classes", opened.classes},
            {"train_images", opened.split.train.size()},
            {"val_images", opened.split.val.size()},
            {"test_images", opened.split.test.size()},
            {"corrupt", opened.corrupt},
            {"notes", opened.notes},
            {"resolution", opened.resolution},
            {"steps_per_epoch", trainer_->steps_per_epoch()}});
  }

  void train(Fields& request) {
    TrainRequest train;
    train.network = request.get<std::string>("network");
    train.graph = read_graph(request);
    train.from_step = request.get<long>("from_step");
    train.to_step = request.get<long>("to_step");
    train.full_steps = request.get<long>("full_steps");
    train.val_images = request.get<int>("val_images");
    train.folder = request.get<std::string>("folder");
    request.read("first_validation", train.first_validation);
    json origin;
    request.read("origin", origin);
    if (!origin.is_null()) {
      Fields fields(origin, "origin");
      train.origin = {read_graph(fields), fields.get<std::string>("folder"), fields.get<long>("step")};
      fields.check_all_known();
    }
    request.check_all_known();
    trainer().train(
        train,
        [&](const TrainPoint& p) {
          say({{"point",
                {{"step", p.step},
                 {"val_accuracy", p.val_accuracy},
                 {"train_loss", p.train_loss},
                 {"seconds", p.seconds},
                 {"val_images", p.val_images}}}});
        },
        [&](long step, double seconds) {
          say({{"progress", true}, {"step", step}, {"seconds", seconds}});
        });
    finish(json::object());
  }

  void time(Fields& request) {
    const std::string network = request.get<std::string>("network");
    const Graph graph = read_graph(request);
    const int steps = request.get<int>("steps");
    request.check_all_known();
    const StepTime t = trainer().time_steps(network, graph, steps);
    finish({{"seconds_per_step", t.total},
            {"render", t.render},
            {"forward", t.forward},
            {"backward", t.backward},
            {"update", t.update}});
  }

  void test(Fields& request) {
    const std::string network = request.get<std::string>("network");
    const Graph graph = read_graph(request);
    const std::string folder = request.get<std::string>("folder");
    const long step = request.get<long>("step");
    const std::string split = request.get<std::string>("split");
    request.check_all_known();
    const Evaluation result = trainer().evaluate(network, graph, folder, step, split);
    finish({{"accuracy", result.accuracy}, {"images", result.images}});
  }

  void parameters(Fields& request) {
    const Graph graph = read_graph(request);
    const std::string folder = request.get<std::string>("folder");
    const long step = request.get<long>("step");
    const std::string path = request.get<std::string>("path");
    request.check_all_known();
    trainer().write_parameters(graph, folder, step, path);
    finish(json::object());
  }

  std::ostream& out_;
  json id_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace

void serve(std::istream& in, std::ostream& out) {
  Service service(out);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) service.answer(line);
  }
}

}  // namespace sonar
