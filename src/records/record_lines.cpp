#include "records/record_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/error.h"

namespace sonar {
namespace {

using nlohmann::json;

constexpr size_t kLongestText = 4096, kLongestMessage = 1 << 20, kMostSamples = 1 << 16;

constexpr std::pair<MeasurePurpose, const char*> kPurposes[] = {
    {MeasurePurpose::fallback, "default"}, {MeasurePurpose::batch, "batch"}, {MeasurePurpose::remeasure, "again"}};
constexpr auto kMeasured = "measured";

/// Hands out the fields of one object, each once; what nobody asked for is an error.
class Fields {
 public:
  Fields(const json& object, const std::string& name) : object_(object), name_(name) {
    if (!object_.is_object()) throw UserError(name_.empty() ? "it is no JSON object" : name_ + " is no JSON object");
  }

  const json& get(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end()) throw UserError("it has no " + place(key));
    ++used_;
    return *found;
  }
  bool has(const char* key) const { return object_.contains(key); }

  std::string text(const char* key, size_t longest = kLongestText) {
    const json& value = get(key);
    if (!value.is_string()) throw UserError(place(key) + " is no text");
    const auto& result = value.get_ref<const std::string&>();
    if (result.size() > longest) throw UserError(fmt::format("{} is longer than {} bytes", place(key), longest));
    return result;
  }

  double number(const char* key, double least) { return checked(get(key), key, least); }

  long whole(const char* key, long least, long most) {
    const json& value = get(key);
    // An unsigned number beyond the signed range would wrap.
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(most));
    if (!fits || value.get<int64_t>() < least || value.get<int64_t>() > most)
      throw UserError(fmt::format("{} is no whole number from {} to {}", place(key), least, most));
    return value.get<int64_t>();
  }

  bool flag(const char* key) {
    const json& value = get(key);
    if (!value.is_boolean()) throw UserError(place(key) + " is neither true nor false");
    return value.get<bool>();
  }

  std::vector<double> positives(const char* key) {
    const json& value = get(key);
    if (!value.is_array() || value.size() > kMostSamples)
      throw UserError(fmt::format("{} is no list of at most {} numbers", place(key), kMostSamples));
    std::vector<double> result;
    for (const json& element : value) {
      result.push_back(checked(element, key, 0));
      if (result.back() == 0) throw UserError(place(key) + " holds a zero");
    }
    return result;
  }

  void end() const {
    if (used_ == object_.size()) return;
    for (const auto& [key, value] : object_.items())
      if (std::none_of(std::begin(kKnown), std::end(kKnown), [&](const char* known) { return key == known; }))
        throw UserError("it has a field '" + key.substr(0, 60) + "', which this version does not know");
    throw UserError("it has a field that does not belong to its outcome");
  }

 private:
  static constexpr const char* kKnown[] = {"sonar_record",  "run",      "verb",    "tuned_programs", "arrival",
                                           "measured_at",   "identity", "target",  "device",         "compiler",
                                           "program_space", "protocol", "threads", "subgraph",       "knobs",
                                           "purpose",       "outcome",  "message", "samples_us",     "median_us",
                                           "minimum_us",    "spread",   "runs",    "stopped_early",  "compile_s"};

  std::string place(const char* key) const { return (name_.empty() ? "" : name_ + ".") + key; }

  double checked(const json& value, const char* key, double least) const {
    if (!value.is_number()) throw UserError(place(key) + " is no number");
    const auto result = value.get<double>();
    if (!std::isfinite(result) || result < least)
      throw UserError(fmt::format("{} is {}, it must be a number of at least {}", place(key), result, least));
    return result;
  }

  const json& object_;
  std::string name_;
  size_t used_ = 0;
};

/// "name=1 other=-2": what ProgramSpace::to_text writes. Which names and values there are the program space tells
/// later.
void check_knobs(const std::string& text) {
  bool good = true;  // a space without knobs has one program, and no text
  for (size_t at = 0; good && at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const size_t equals = word.find('=');
    good = equals != std::string::npos && equals > 0 && equals + 1 < word.size() && end + 1 != text.size() &&
           std::all_of(word.begin(), word.begin() + static_cast<long>(equals),
                       [](unsigned char c) { return std::isalnum(c) || c == '_'; }) &&
           std::all_of(word.begin() + static_cast<long>(equals) + 1, word.end(),
                       [](unsigned char c) { return std::isdigit(c) || c == '-'; });
    at = end + 1;
  }
  if (!good) throw UserError("knobs '" + text.substr(0, 60) + "' do not read like vector=16 tile=4");
}

double finite(double value, const LibraryRecord& record) {
  if (!std::isfinite(value))
    throw InternalError("a number of record " + record.origin.run + ":" + std::to_string(record.program.arrival) +
                        " is not finite");
  return value;
}

Outcome parse_outcome(Fields& fields) {
  const std::string outcome = fields.text("outcome");
  if (outcome != kMeasured) {
    if (const auto kind = measure_error_kind(outcome))
      return MeasureError{*kind, fields.text("message", kLongestMessage)};
    throw UserError("outcome '" + outcome.substr(0, 60) + "' is not known; it can be measured, or a cause of failure");
  }
  Measurement measured;
  measured.samples_us = fields.positives("samples_us");
  measured.median_us = fields.number("median_us", 0);
  measured.minimum_us = fields.number("minimum_us", 0);
  measured.spread = fields.number("spread", 0);
  measured.runs = fields.whole("runs", 0, std::numeric_limits<long>::max());
  measured.stopped_early = fields.flag("stopped_early");
  if (!(measured.minimum_us > 0 && measured.minimum_us <= measured.median_us))
    throw UserError(fmt::format("a minimum of {} us and a median of {} us cannot both be true", measured.minimum_us,
                                measured.median_us));
  return measured;
}

}  // namespace

std::string record_line(const LibraryRecord& record) {
  const ProgramRow& program = record.program;
  nlohmann::ordered_json line;
  line["sonar_record"] = kRecordLineVersion;
  line["run"] = record.origin.run;
  line["verb"] = record.origin.verb;
  if (record.origin.tuned_programs >= 0) line["tuned_programs"] = finite(record.origin.tuned_programs, record);
  line["arrival"] = program.arrival;
  line["measured_at"] = finite(program.measured_at, record);
  line["identity"] = {{"target", record.identity.target},     {"device", record.identity.device},
                      {"compiler", record.identity.compiler}, {"program_space", record.identity.program_space},
                      {"protocol", record.identity.protocol}, {"threads", record.identity.threads}};
  line["subgraph"] = program.subgraph;
  line["knobs"] = program.knobs_text;
  for (const auto& [purpose, text] : kPurposes)
    if (purpose == record.purpose) line["purpose"] = text;
  line["compile_s"] = finite(program.compile_s, record);
  if (const auto* failure = std::get_if<MeasureError>(&program.outcome)) {
    line["outcome"] = to_text(failure->kind);
    line["message"] = failure->message;
  } else {
    const auto& measured = std::get<Measurement>(program.outcome);
    line["outcome"] = kMeasured;
    line["median_us"] = finite(measured.median_us, record);
    line["minimum_us"] = finite(measured.minimum_us, record);
    line["spread"] = finite(measured.spread, record);
    line["runs"] = measured.runs;
    line["stopped_early"] = measured.stopped_early;
    line["samples_us"] = measured.samples_us;
  }
  // What a compiler prints need not be UTF-8; JSON must be.
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

LibraryRecord parse_record_line(const std::string& text) {
  json line;
  try {
    line = json::parse(text);
  } catch (const json::exception& error) {
    throw UserError("it is no JSON (" + std::string(error.what()).substr(0, 200) + ")");
  }
  Fields fields(line, "");
  if (!fields.has("sonar_record")) throw UserError("it has no sonar_record: it is no record");
  if (const long version = fields.whole("sonar_record", 1, std::numeric_limits<long>::max());
      version != kRecordLineVersion)
    throw UserError(fmt::format("it is of version {}, this SONAR reads version {}", version, kRecordLineVersion));
  LibraryRecord record;
  record.origin.run = fields.text("run", 128);
  if (record.origin.run.empty()) throw UserError("run is empty");
  record.origin.verb = fields.text("verb", 128);
  if (fields.has("tuned_programs")) record.origin.tuned_programs = fields.number("tuned_programs", 0);
  ProgramRow& program = record.program;
  program.arrival = fields.whole("arrival", 0, std::numeric_limits<long>::max());
  program.measured_at = fields.number("measured_at", 0);
  Fields identity(fields.get("identity"), "identity");
  constexpr long kInt = std::numeric_limits<int>::max();
  record.identity = {identity.text("target"),
                     identity.text("device"),
                     identity.text("compiler"),
                     static_cast<int>(identity.whole("program_space", 0, kInt)),
                     static_cast<int>(identity.whole("protocol", 0, kInt)),
                     static_cast<int>(identity.whole("threads", 1, kInt))};
  identity.end();
  program.subgraph = fields.text("subgraph");
  parse_subgraph(program.subgraph);
  program.knobs_text = fields.text("knobs");
  check_knobs(program.knobs_text);
  const std::string purpose = fields.text("purpose");
  bool known = false;
  for (const auto& [value, name] : kPurposes)
    if (purpose == name) record.purpose = value, known = true;
  if (!known)
    throw UserError("purpose '" + purpose.substr(0, 60) + "' is not known; it can be default, batch or again");
  program.compile_s = fields.number("compile_s", 0);
  program.outcome = parse_outcome(fields);
  fields.end();
  return record;
}

void read_record_lines(const std::string& path,
                       const std::function<void(long, LibraryRecord&, const std::string&)>& visit) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw UserError(path + ": there is no such file");
  // It is read twice, which a pipe does not allow.
  if (!std::filesystem::is_regular_file(path, error)) throw UserError(path + " is no regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw EnvironmentError(path + " cannot be read (" + std::strerror(errno) + ")");
  std::string line;
  bool too_long = false;
  long number = 0;
  const auto end_line = [&] {
    ++number;
    LibraryRecord record;
    std::string wrong;
    if (too_long) {
      wrong = fmt::format("it is longer than {} bytes", kLongestRecordLine);
    } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
      try {
        record = parse_record_line(line);
      } catch (const UserError& problem) {
        wrong = problem.what();
      }
    } else {
      return;
    }
    visit(number, record, wrong);
  };
  std::vector<char> buffer(1 << 16);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), file.gcount() > 0) {
    const char* at = buffer.data();
    const char* const end = at + file.gcount();
    while (at != end) {
      const char* const stop = std::find(at, end, '\n');
      too_long |= line.size() + static_cast<size_t>(stop - at) > kLongestRecordLine;
      if (!too_long) line.append(at, stop);
      at = stop;
      if (at == end) break;
      ++at;
      end_line();
      line.clear();
      too_long = false;
    }
  }
  if (file.bad()) throw EnvironmentError(path + " cannot be read to its end");
  if (!line.empty() || too_long) end_line();
}

}  // namespace sonar
