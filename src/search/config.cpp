#include "sonar/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "model/error.h"
#include "policy/algorithm.h"
#include "search/tuner_session.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What a value must satisfy beyond its type.
struct Rule {
  std::vector<std::string> choices;  // of texts
  double min = -kInfinity, max = kInfinity;
  bool may_be_empty = true;  // of lists and texts
};

Rule choice(std::vector<std::string> values) { return {std::move(values)}; }
Rule at_least(double min) { return {{}, min}; }
Rule within(double min, double max) { return {{}, min, max}; }
Rule list_within(double min, double max) { return {{}, min, max, false}; }

/// The one list of all keys: everything else in this file walks it.
template <class Visit>
void visit_keys(Config& c, Visit&& visit) {
  visit("search.algorithm", c.search.algorithm, choice(algorithm_names()));
  visit("search.settings", c.search.settings, Rule{});
  visit("search.threshold_ms", c.search.threshold_ms, at_least(0));
  visit("search.time", c.search.time, Rule{});
  visit("search.epochs", c.search.epochs, at_least(0));
  visit("search.programs", c.search.programs, at_least(0));
  visit("search.schedule", c.search.schedule, choice({"parallel", "sequential"}));
  visit("search.train_fraction", c.search.train_fraction, within(0.05, 0.95));
  visit("search.candidates", c.search.candidates, at_least(0));
  visit("search.survivors", c.search.survivors, choice(survivor_rule_names()));
  visit("search.share", c.search.share, choice({"steps", "seconds"}));
  visit("search.scheduler", c.search.scheduler, choice({"paper", "gradient"}));
  visit("search.latency", c.search.latency, choice({"sum", "end-to-end"}));
  visit("search.tuner", c.search.tuner, Rule{{}, 0, 0, false});
  visit("search.tuner_time_limit_s", c.search.tuner_time_limit_s, within(1, 86400));
  visit("search.proxy", c.search.proxy, Rule{});
  visit("search.proxy_time_limit_s", c.search.proxy_time_limit_s, within(0.1, 86400));
  visit("search.cost_model", c.search.cost_model, Rule{});
  visit("search.fusion", c.search.fusion, Rule{});
  visit("search.transfer", c.search.transfer, Rule{});
  visit("search.batch_programs", c.search.batch_programs, within(1, 4096));
  visit("search.full_programs", c.search.full_programs, within(1, 1e6));
  visit("search.minimum_slice_steps", c.search.minimum_slice_steps, within(1, 1e6));
  visit("search.seed", c.search.seed, at_least(0));
  visit("search.records", c.search.records, Rule{});
  visit("space.family", c.space.family, choice({"mobilenetv3"}));
  visit("space.resolutions", c.space.resolutions, list_within(1, 4096));
  visit("space.widths", c.space.widths, list_within(0.01, 64));
  visit("space.expansions", c.space.expansions, list_within(1, 64));
  visit("space.depths", c.space.depths, list_within(1, 64));
  visit("space.kernels", c.space.kernels, Rule{{}, 0, 0, false});
  visit("space.stem_stride", c.space.stem_stride, within(1, 4));
  visit("space.strides", c.space.strides, list_within(1, 4));
  visit("space.stem_width", c.space.stem_width, within(1, 4096));
  visit("space.stage_widths", c.space.stage_widths, list_within(1, 65536));
  visit("space.head_width", c.space.head_width, within(1, 65536));
  visit("space.classifier_width", c.space.classifier_width, within(1, 65536));
  visit("space.architectures", c.space.architectures, Rule{});
  visit("data.path", c.data.path, Rule{});
  visit("data.test_path", c.data.test_path, Rule{});
  visit("data.val_fraction", c.data.val_fraction, within(0.001, 0.9));
  visit("data.test_fraction", c.data.test_fraction, within(0.001, 0.9));
  visit("data.limit_train", c.data.limit_train, at_least(0));
  visit("data.limit_val", c.data.limit_val, at_least(0));
  visit("data.limit_test", c.data.limit_test, at_least(0));
  visit("data.resolution", c.data.resolution, within(0, 4096));
  visit("data.max_corrupt_fraction", c.data.max_corrupt_fraction, within(0, 1));
  visit("data.classes", c.data.classes, within(0, 1e6));
  visit("train.epochs", c.train.epochs, within(1, 1e6));
  visit("train.batch", c.train.batch, within(1, 65536));
  visit("train.learning_rate", c.train.learning_rate, within(1e-9, 1e3));
  visit("train.momentum", c.train.momentum, within(0, 0.9999));
  visit("train.weight_decay", c.train.weight_decay, within(0, 1));
  visit("train.label_smoothing", c.train.label_smoothing, within(0, 0.9));
  visit("train.ema", c.train.ema, within(0, 0.99999));
  visit("train.crop_padding", c.train.crop_padding, within(0, 256));
  visit("train.flip", c.train.flip, Rule{});
  visit("train.schedule", c.train.schedule, choice({"full", "slice"}));
  visit("train.inherit", c.train.inherit, Rule{});
  visit("train.bf16", c.train.bf16, Rule{});
  visit("train.cores", c.train.cores, list_within(0, 4095));
  visit("train.devices", c.train.devices, Rule{{}, 0, 0, false});
  visit("train.checkpoint_seconds", c.train.checkpoint_seconds, at_least(1));
  visit("train.keep_checkpoints", c.train.keep_checkpoints, Rule{});
  visit("compile.cores", c.compile.cores, list_within(0, 4095));
  visit("compile.time_limit_s", c.compile.time_limit_s, within(0.1, 3600));
  visit("compile.memory_limit_mb", c.compile.memory_limit_mb, within(512, 1e6));
  visit("device.kind", c.device.kind, choice({"local"}));
  visit("device.cores", c.device.cores, list_within(0, 4095));
  visit("device.threads", c.device.threads, within(1, 4096));
  visit("device.batch", c.device.batch, within(1, 65536));
  visit("device.compiler", c.device.compiler, Rule{{}, 0, 0, false});
  visit("device.peak_gflops", c.device.peak_gflops, at_least(0));
}

// ---- the type of each field, as users would name it, and how it is read from TOML

const char* type_name(const std::string&) { return "a text"; }
const char* type_name(double) { return "a number"; }
const char* type_name(int64_t) { return "a whole number"; }
const char* type_name(bool) { return "true or false"; }
const char* type_name(const std::vector<int64_t>&) { return "a list of whole numbers"; }
const char* type_name(const std::vector<double>&) { return "a list of numbers"; }
const char* type_name(const std::vector<std::string>&) { return "a list of texts"; }

bool read(const toml::node& node, std::string& value) {
  auto text = node.value_exact<std::string>();
  if (text) value = *text;
  return text.has_value();
}
bool read(const toml::node& node, double& value) {
  if (!node.is_number()) return false;
  value = *node.value<double>();
  return true;
}
bool read(const toml::node& node, int64_t& value) {
  if (auto whole = node.value_exact<int64_t>()) return value = *whole, true;
  return false;
}
bool read(const toml::node& node, bool& value) {
  if (auto flag = node.value_exact<bool>()) return value = *flag, true;
  return false;
}
template <class T>
bool read(const toml::node& node, std::vector<T>& values) {
  const toml::array* array = node.as_array();
  if (!array) return false;
  std::vector<T> result;
  for (const toml::node& element : *array) {
    T value{};
    if (!read(element, value)) return false;
    result.push_back(value);
  }
  values = std::move(result);
  return true;
}

// ---- writing

std::string write(const std::string& value) {
  std::ostringstream out;
  out << toml::value<std::string>(value);
  return out.str();
}
std::string write(double value) {
  char buffer[40];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, end);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}
std::string write(int64_t value) { return std::to_string(value); }
std::string write(bool value) { return value ? "true" : "false"; }
template <class T>
std::string write(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? ", " : "") + write(value);
  return text + "]";
}

// ---- rules

std::string complaint(const std::string& value, const Rule& rule) {
  if (rule.choices.empty()) return !rule.may_be_empty && value.empty() ? "must not be empty" : "";
  if (std::find(rule.choices.begin(), rule.choices.end(), value) != rule.choices.end()) return "";
  std::string list;
  for (const std::string& option : rule.choices) list += (list.empty() ? "" : ", ") + option;
  return "is '" + value + "'; it can be " + list;
}
std::string short_number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}
std::string complaint(double value, const Rule& rule) {
  if (std::isfinite(value) && value >= rule.min && value <= rule.max) return "";
  std::string limits = rule.max == kInfinity ? "at least " + short_number(rule.min)
                                             : "from " + short_number(rule.min) + " to " + short_number(rule.max);
  return "is " + short_number(value) + "; it must be " + limits;
}
std::string complaint(int64_t value, const Rule& rule) { return complaint(static_cast<double>(value), rule); }
std::string complaint(bool, const Rule&) { return ""; }
template <class T>
std::string complaint(const std::vector<T>& values, const Rule& rule) {
  if (values.empty() && !rule.may_be_empty) return "must not be empty";
  for (const T& value : values) {
    std::string text = complaint(value, rule);
    if (!text.empty()) return text;
  }
  return "";
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j)
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
  }
  return row[b.size()];
}

std::string nearest_key(const std::string& key) {
  Config config;
  std::string best;
  size_t least = std::string::npos;
  visit_keys(config, [&](const std::string& known, auto&, const Rule&) {
    // A key in the wrong section is as near as its last part.
    const size_t distance =
        std::min(edit_distance(key, known),
                 edit_distance(key.substr(key.rfind('.') + 1), known.substr(known.find('.') + 1)) + 2);
    if (distance < least) least = distance, best = known;
  });
  return best;
}

/// Sets one key. `place` begins every message: "search.toml:12" or "the override search.time=x".
void set_key(Config& config, const std::string& key, const toml::node& node, const std::string& place) {
  bool known = false;
  visit_keys(config, [&](const std::string& name, auto& field, const Rule& rule) {
    if (name != key) return;
    known = true;
    if (!read(node, field)) throw UserError(place + ": " + key + " must be " + type_name(field));
    const std::string text = complaint(field, rule);
    if (!text.empty()) throw UserError(place + ": " + key + " " + text);
  });
  if (!known) throw UserError(place + ": there is no key " + key + "; the nearest is " + nearest_key(key));
}

void check_combinations(const Config& c, const std::string& path) {
  auto refuse = [&](const std::string& text) { throw UserError(path + ": " + text); };
  const bool counted = c.search.epochs > 0 || c.search.programs > 0;
  if (!c.search.time.empty()) {
    try {
      parse_duration(c.search.time);
    } catch (const UserError& error) {
      refuse(std::string("search.time: ") + error.what());
    }
    if (counted)
      refuse("search.time and search.epochs / search.programs exclude each other; remove one of the two budgets");
  }
  try {
    PolicyOptions options;
    options.algorithm = c.search.algorithm;
    options.settings = algorithm_settings(c.search.settings, "search.settings");
    make_algorithm(options);
  } catch (const UserError& error) {
    refuse(error.what());
  }
  if (c.search.algorithm == "threshold" && c.search.threshold_ms <= 0)
    refuse("search.algorithm = \"threshold\" needs search.threshold_ms, the latency limit in milliseconds");
  if (c.search.algorithm == "proxy-command" && c.search.proxy.empty())
    refuse(
        "search.algorithm = \"proxy-command\" needs search.proxy, the command that prints a network's latency in "
        "milliseconds");
  if (!c.search.proxy.empty()) {
    try {
      split_command(c.search.proxy, "search.proxy");
    } catch (const UserError& error) {
      refuse(error.what());
    }
  }
  if (c.search.tuner != "halide") {
    try {
      split_command(c.search.tuner);
    } catch (const UserError& error) {
      refuse(error.what());
    }
    if (c.search.latency == "end-to-end")
      refuse(
          "search.latency = \"end-to-end\" needs programs that SONAR can put together; an outside search.tuner "
          "measures subgraphs only: use \"sum\"");
    if (!c.search.records.empty())
      refuse(
          "search.records holds programs that can be built again, and those of an outside search.tuner cannot: "
          "remove one of the two");
  }
  if (c.search.share == "seconds" && counted)
    refuse("search.share = \"seconds\" needs a time budget; with counted budgets use \"steps\", or set search.time");
  if (c.search.schedule == "sequential" && counted)
    refuse("search.schedule = \"sequential\" divides a time budget; with counted budgets leave it \"parallel\"");
  if (c.device.threads > static_cast<int64_t>(c.device.cores.size()))
    refuse("device.threads is " + std::to_string(c.device.threads) + ", but device.cores names " +
           std::to_string(c.device.cores.size()) + (c.device.cores.size() == 1 ? " core" : " cores") +
           "; each thread needs a core of its own");
  if (c.space.strides.size() != 5) refuse("space.strides must name five strides, one for each stage");
  if (c.space.stage_widths.size() != 5) refuse("space.stage_widths must name five widths, one for each stage");
  for (const std::string& kernels : c.space.kernels)
    if (kernels.size() != 5 || kernels.find_first_not_of("13579") != std::string::npos)
      refuse("space.kernels: '" + kernels + "' is no list of kernel sizes; write five odd digits, like \"35335\"");
  for (const std::string& device : c.train.devices)
    if (device != "cpu" && device.rfind("cuda:", 0) != 0)
      refuse("train.devices: '" + device + "' is no device; write \"cpu\" or \"cuda:0\"");
}

}  // namespace

double parse_duration(const std::string& text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const std::map<std::string, double> units{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
  if (error != std::errc{} || !units.count(unit) || !(value > 0) || !std::isfinite(value))
    throw UserError("'" + text + "' is no duration; write 90s, 20m, 2h or 2d");
  return value * units.at(unit);
}

Config load_config(const std::string& path, const std::vector<Override>& overrides) {
  namespace fs = std::filesystem;
  if (!fs::exists(path)) throw UserError(path + ": there is no such file; give the path of a configuration in TOML");
  if (fs::is_directory(path)) throw UserError(path + ": is a folder; give the path of a configuration in TOML");
  Config config;
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    throw UserError(path + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
  }
  auto place = [&](const toml::node& node) { return path + ":" + std::to_string(node.source().begin.line); };
  for (auto&& [section, content] : table) {
    const toml::table* keys = content.as_table();
    const std::string name(section.str());
    if (!keys)
      throw UserError(place(content) + ": '" + name + "' stands outside of a section; the nearest key is " +
                      nearest_key(name));
    for (auto&& [key, node] : *keys) set_key(config, name + "." + std::string(key.str()), node, place(node));
  }
  // Paths in the file are relative to the file, those of overrides to the working folder.
  auto rebase = [&](std::string& file, const fs::path& base) {
    if (!file.empty()) file = fs::weakly_canonical(base / file).string();
  };
  const fs::path folder = fs::absolute(path).parent_path();
  rebase(config.search.records, folder);
  rebase(config.data.path, folder);
  rebase(config.data.test_path, folder);
  for (const auto& [key, value] : overrides) {
    const std::string where = "the override " + key + "=" + value;
    toml::table one;
    try {
      one = toml::parse("value = " + value);
    } catch (const toml::parse_error&) {
      one = toml::table{{"value", value}};  // a bare text
    }
    toml::node* node = one.get("value");
    if (!node || one.size() != 1) throw UserError(where + ": the value cannot be read");
    // A bare number or word where a text is wanted: time=20m parses as text already, seed=1 as a number.
    bool wants_text = false;
    visit_keys(config, [&](const std::string& name, auto& field, const Rule&) {
      if (name == key) wants_text = std::is_same_v<std::decay_t<decltype(field)>, std::string>;
    });
    if (wants_text && !node->is_string()) {
      one = toml::table{{"value", value}};
      node = one.get("value");
    }
    set_key(config, key, *node, where);
    if (key == "search.records") rebase(config.search.records, fs::current_path());
    if (key == "data.path") rebase(config.data.path, fs::current_path());
    if (key == "data.test_path") rebase(config.data.test_path, fs::current_path());
  }
  check_combinations(config, path);
  return config;
}

std::vector<std::pair<std::string, std::string>> flatten(const Config& config) {
  std::vector<std::pair<std::string, std::string>> result;
  Config copy = config;
  visit_keys(copy, [&](const std::string& key, auto& field, const Rule&) { result.emplace_back(key, write(field)); });
  return result;
}

std::string to_toml(const Config& config) {
  std::string text, section;
  for (const auto& [key, value] : flatten(config)) {
    const std::string now = key.substr(0, key.find('.'));
    if (now != section) text += (section.empty() ? "[" : "\n[") + now + "]\n";
    section = now;
    text += key.substr(now.size() + 1) + " = " + value + "\n";
  }
  return text;
}

}  // namespace sonar
