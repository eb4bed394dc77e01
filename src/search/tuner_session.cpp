#include "search/tuner_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "device/device.h"
#include "model/error.h"
#include "search/start_device.h"
#include "search/trainer_client.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kShown = 200;       // characters of a bad line in a message
constexpr size_t kLastBytes = 4096;  // of the log, in which its last line is looked for
constexpr double kPoll = 0.1;        // seconds between looks at the stop flag

ProcessOptions tuner_process(const TunerSessionOptions& options) {
  ProcessOptions process;
  process.command = split_command(options.command);
  std::set<int> cores(options.timing_cores.begin(), options.timing_cores.end());
  cores.insert(options.building_cores.begin(), options.building_cores.end());
  process.cores.assign(cores.begin(), cores.end());
  process.stderr_path = options.log_path;
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) throw EnvironmentError(options.folder + ": cannot be made (" + error.message() + ")");
  return process;
}

std::string last_line(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const auto size = static_cast<size_t>(file.tellg());
  std::string text(std::min(size, kLastBytes), '\0');
  file.seekg(static_cast<std::streamoff>(size - text.size()));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t newline = text.find_last_of('\n', end);
  return text.substr(newline == std::string::npos ? 0 : newline + 1).substr(0, end - newline).substr(0, kShown);
}

json subgraph_json(const Subgraph& s) {
  json result{{"kind", to_text(s.kind)},
              {"batch", s.batch},
              {"height", s.height},
              {"width", s.width},
              {"in_channels", s.in_channels},
              {"out_channels", s.out_channels},
              {"kernel", s.kernel},
              {"stride", s.stride},
              {"padding", s.padding},
              {"squeeze", s.squeeze},
              {"activation", to_text(s.activation)},
              {"residual", s.residual},
              {"activation_last", s.activation_last},
              {"out_height", s.out_height()},
              {"out_width", s.out_width()}};
  if (s.kind == SubgraphKind::fused_depthwise)
    for (const Subgraph& stage : stages_of(s)) result["stages"].push_back(subgraph_json(stage));
  return result;
}

std::string causes() {
  std::string list;
  for (int k = 1; k < static_cast<int>(kLastMeasureErrorKind); ++k)
    list += (k > 1 ? ", " : "") + std::string(to_text(static_cast<MeasureErrorKind>(k)));
  return list;
}

/// "no program" is said by ending early, not as a cause.
std::optional<MeasureErrorKind> cause_of(const std::string& text) {
  const auto kind = measure_error_kind(text);
  return kind == MeasureErrorKind::no_program ? std::nullopt : kind;
}

bool is_latency(const json& value) {
  return value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0;
}

}  // namespace

std::vector<std::string> split_command(const std::string& text, const std::string& key) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (quote) {
      word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, ""));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote) throw UserError(fmt::format("{}: a quote {} is not closed in: {}", key, quote, text));
  if (in_word) words.push_back(word);
  if (words.empty()) throw UserError(key + " is blank; write the command line of a program");
  return words;
}

TunerSessionOptions tuner_session_options(const Config& config, const std::string& work_folder) {
  TunerSessionOptions options;
  options.command = config.search.tuner;
  options.timing_cores = measuring_cores(config).timing;
  options.building_cores.assign(config.compile.cores.begin(), config.compile.cores.end());
  options.threads = static_cast<int>(config.device.threads);
  options.batch = static_cast<int>(config.device.batch);
  options.seed = config.search.seed;
  options.time_limit_s = config.search.tuner_time_limit_s;
  options.folder = fs::absolute(work_folder + "/tuner").string();
  options.log_path = options.folder + "/log";
  return options;
}

TunerSession::TunerSession(const TunerSessionOptions& options, const std::atomic<bool>* stop,
                           std::function<void(const std::string&)> note)
    : options_(options), stop_(stop), note_(std::move(note)), process_(tuner_process(options)) {
  try {
    exchange_hellos();
  } catch (const TunerGone& gone) {
    throw EnvironmentError(std::string(gone.what()) + " before its hello");
  }
}

void TunerSession::exchange_hellos() {
  send(json{{"hello",
             {{"protocol", kTunerProtocolVersion},
              {"timing_cores", options_.timing_cores},
              {"building_cores", options_.building_cores},
              {"threads", options_.threads},
              {"batch", options_.batch},
              {"seed", options_.seed},
              {"folder", options_.folder}}}}
           .dump());
  const std::string line = receive();
  const json message = json::parse(line);
  if (message.contains("error") && message["error"].is_string())
    throw EnvironmentError(name() + ": " + message["error"].get<std::string>());
  const json hello = message.value("hello", json());
  if (!hello.is_object()) refuse("began with no hello", line);
  const json version = hello.value("protocol", json());
  if (!version.is_number_integer() || version != kTunerProtocolVersion)
    refuse(fmt::format("speaks version {} of the protocol, not {}", version.dump(), kTunerProtocolVersion), line);
  for (const auto& [field, value] : {std::pair{"tuner", &identity_.name}, std::pair{"target", &identity_.target}}) {
    const json text = hello.value(field, json());
    if (!text.is_string() || text.get<std::string>().empty())
      refuse(fmt::format("said hello without \"{}\", a text", field), line);
    *value = text;
  }
  const json measures = hello.value("measures", json(false));
  if (!measures.is_boolean()) refuse("said hello with \"measures\" that is neither true nor false", line);
  identity_.measures = measures;
}

void TunerSession::refuse(const std::string& what, const std::string& line) const {
  throw EnvironmentError(
      fmt::format("{} {}: {}; mend it (docs/tuners.md) and run the same command to continue: nothing measured is lost",
                  name(), what, line.substr(0, kShown)));
}

void TunerSession::send(const std::string& line) {
  if (process_.write_line(line)) return;
  const std::string said = last_line(options_.log_path);
  throw TunerGone(fmt::format("{} {}{}", name(), process_.kill().describe(), said.empty() ? "" : ": " + said),
                  MeasureErrorKind::crash);
}

/// The next message that is no note: a JSON object.
std::string TunerSession::receive() {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  auto last = now();
  for (;;) {
    std::string line;
    const ChildProcess::Read read = process_.read_line(line, kPoll);
    if (stop_ && stop_->load()) throw Stopped();
    if (read == ChildProcess::Read::closed) {
      const std::string said = last_line(options_.log_path);
      throw TunerGone(fmt::format("{} {}{}", name(), process_.kill().describe(), said.empty() ? "" : ": " + said),
                      MeasureErrorKind::crash);
    }
    if (read == ChildProcess::Read::timeout) {
      if (std::chrono::duration<double>(now() - last).count() < options_.time_limit_s) continue;
      process_.kill();
      throw TunerGone(
          fmt::format("{} said nothing for {:g} s (search.tuner_time_limit_s)", name(), options_.time_limit_s),
          MeasureErrorKind::run_timeout);
    }
    last = now();
    const json message = json::parse(line, nullptr, false);
    if (!message.is_object()) refuse("wrote what is no JSON object", line);
    const auto note = message.find("note");
    if (note == message.end()) return line;
    if (!note->is_string()) refuse("wrote a note that is no text", line);
    if (note_) note_(note->get<std::string>());
  }
}

void TunerSession::exchange(const std::string& request, const Subgraph& subgraph, std::vector<int> trials,
                            bool may_end_early, const std::function<void(Answer)>& answer) {
  const SubgraphKey key = subgraph.key();
  send(request);
  for (;;) {
    const std::string line = receive();
    const json message = json::parse(line);
    if (message.contains("end")) {
      if (message["end"] != key) refuse("ended a subgraph that it was not at (" + key + ")", line);
      if (!trials.empty() && !may_end_early)
        refuse(fmt::format("ended {} without an answer for trial {}", key, trials.front()), line);
      for (int trial : trials)
        answer({trial, MeasureError{MeasureErrorKind::no_program, name() + " has no further program"}, 0});
      return;
    }
    if (message.value("key", json()) != key) refuse("answered for another subgraph than " + key, line);
    const json trial = message.value("trial", json());
    const auto place =
        trial.is_number_integer() ? std::find(trials.begin(), trials.end(), trial.get<int64_t>()) : trials.end();
    if (place == trials.end()) refuse("answered for a trial of " + key + " that is not open", line);
    Answer result;
    result.trial = *place;
    if (const json seconds = message.value("build_s", json(0)); seconds.is_number() && seconds.get<double>() >= 0)
      result.build_s = seconds;
    else
      refuse("gave \"build_s\" that is no number of seconds", line);
    if (message.contains("error")) {
      const json& cause = message["error"];
      const auto kind = cause.is_string() ? cause_of(cause.get<std::string>()) : std::nullopt;
      if (!kind) refuse("gave an \"error\" that is none of " + causes(), line);
      const json text = message.value("message", json(""));
      result.outcome = MeasureError{*kind, text.is_string() ? text.get<std::string>() : text.dump()};
    } else {
      const json latency = message.value("latency_us", json());
      std::vector<double> samples;
      for (const json& value : latency.is_array() ? latency : json::array({latency})) {
        if (!is_latency(value)) refuse("gave \"latency_us\" that is no positive number nor a list of them", line);
        samples.push_back(value);
      }
      if (samples.empty()) refuse("gave \"latency_us\" that is an empty list", line);
      const long runs = static_cast<long>(samples.size());
      result.outcome = summarize(std::move(samples), runs, false);
    }
    trials.erase(place);
    answer(std::move(result));
  }
}

void TunerSession::tune(const Subgraph& subgraph, const std::vector<int>& trials, double best_us,
                        const std::function<void(Answer)>& answer) {
  json request{{"tune", subgraph.key()}, {"subgraph", subgraph_json(subgraph)}, {"trials", trials}};
  if (best_us > 0) request["best_us"] = best_us;
  exchange(request.dump(), subgraph, trials, true, answer);
}

void TunerSession::measure(const Subgraph& subgraph, const std::vector<int>& trials,
                           const std::function<void(Answer)>& answer) {
  const json request{{"measure", subgraph.key()}, {"subgraph", subgraph_json(subgraph)}, {"trials", trials}};
  exchange(request.dump(), subgraph, trials, false, answer);
}

}  // namespace sonar
