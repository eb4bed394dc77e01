#include "records/record_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "records/temporary_folder.h"
#include "records/test_records.h"

namespace sonar {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string why_bad(const std::string& line) {
  return message_of<UserError>([&] { parse_record_line(line); });
}

json good_line() { return json::parse(record_line(measured_record("r", 7, "vector=8 shift=-1", 2.5, 1.7e9))); }

TEST(RecordLines, WriteAndReadAgreeExactly) {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    LibraryRecord record = random_record(random);
    if (i % 2) record.origin.tuned_programs = random.uniform() * 1000;
    const std::string line = record_line(record);
    ASSERT_EQ(line.find('\n'), std::string::npos);
    expect_same(parse_record_line(line), record);
    ASSERT_FALSE(testing::Test::HasFailure()) << line;
    ASSERT_EQ(record_line(parse_record_line(line)), line);
  }
}

TEST(RecordLines, EachBadFieldIsNamed) {
  const std::vector<std::pair<std::string, std::string>> kBad = {
      {R"({"sonar_record": 2})", "it is of version 2, this SONAR reads version 1"},
      {R"({"sonar_record": "1"})", "sonar_record is no whole number"},
      {R"({"sonar_record": null})", "it has no sonar_record"},
      {R"({"median_us": -1})", "median_us is -1, it must be a number of at least 0"},
      {R"({"median_us": 0, "minimum_us": 0})", "cannot both be true"},
      {R"({"median_us": "fast"})", "median_us is no number"},
      {R"({"minimum_us": 3})", "a minimum of 3 us and a median of 2.5 us cannot both be true"},
      {R"({"spread": -0.5})", "spread is -0.5"},
      {R"({"compile_s": -1})", "compile_s is -1"},
      {R"({"samples_us": [1, -2]})", "samples_us is -2"},
      {R"({"samples_us": [1, 0]})", "samples_us holds a zero"},
      {R"({"samples_us": 1})", "samples_us is no list"},
      {R"({"runs": 1.5})", "runs is no whole number"},
      {R"({"runs": -1})", "runs is no whole number"},
      {R"({"runs": 18446744073709551615})", "runs is no whole number"},
      {R"({"stopped_early": 1})", "stopped_early is neither true nor false"},
      {R"({"outcome": "fine"})", "outcome 'fine' is not known"},
      {R"({"outcome": "crash"})", "it has no message"},
      {R"({"outcome": "crash", "message": "x"})", "it has a field that does not belong to its outcome"},
      {R"({"purpose": "fun"})", "purpose 'fun' is not known"},
      {R"({"subgraph": "conv"})", "is no subgraph key"},
      {R"({"knobs": "vector"})", "do not read like"},
      {R"({"knobs": "vector=8 "})", "do not read like"},
      {R"({"knobs": "vector=8; rm"})", "do not read like"},
      {R"({"run": ""})", "run is empty"},
      {R"({"arrival": -1})", "arrival is no whole number"},
      {R"({"measured_at": null})", "it has no measured_at"},
      {R"({"identity": 3})", "identity is no JSON object"},
      {R"({"identity": {}})", "it has no identity.target"},
      {R"({"extra": 1})", "it has a field 'extra', which this version does not know"},
  };
  for (const auto& [patch, message] : kBad) {
    json line = good_line();
    line.merge_patch(json::parse(patch));
    if (patch == R"({"identity": {}})") line["identity"] = json::object();
    EXPECT_THAT(why_bad(line.dump()), HasSubstr(message)) << patch;
  }
  // What JSON has no words for.
  for (const char* word : {"NaN", "Infinity", "-Infinity", "1e999"}) {
    std::string line = good_line().dump();
    line.replace(line.find("2.5"), 3, word);
    EXPECT_NE(why_bad(line), "(nothing was thrown)") << word;
  }
  EXPECT_THAT(why_bad("[]"), HasSubstr("it is no JSON object"));
  EXPECT_THAT(why_bad("{}"), HasSubstr("it is no record"));
  EXPECT_THAT(why_bad(R"({"sonar_record":1,"run":")" + std::string(200, 'x') + "\"}"), HasSubstr("run is longer"));
}

TEST(RecordLines, ALineCutAnywhereIsBad) {
  const std::string line = good_line().dump();
  for (size_t cut = 0; cut < line.size(); ++cut) EXPECT_THAT(why_bad(line.substr(0, cut)), HasSubstr("no JSON")) << cut;
}

TEST(RecordLines, ChangedBytesAreRefusedOrReadAsARecord) {
  Random random(9);
  const std::string line = record_line(measured_record("r", 7, "vector=8", 2.5, 1.7e9));
  for (int i = 0; i < 20'000; ++i) {
    std::string changed = line;
    for (uint64_t n = 1 + random.below(3); n > 0; --n)
      changed[random.below(changed.size())] = static_cast<char>(random.below(256));
    try {
      const LibraryRecord record = parse_record_line(changed);
      EXPECT_GT(std::get<Measurement>(record.program.outcome).median_us, 0) << changed;
    } catch (const UserError&) {
    }
  }
  EXPECT_THAT(why_bad(std::string(1'000'000, '[')), HasSubstr("no JSON"));
}

TEST(RecordLines, FilesAreReadLineByLineWithNumbers) {
  TemporaryFolder folder;
  const std::string path = folder / "records.jsonl", line = good_line().dump();
  std::ofstream(path, std::ios::binary) << line << "\r\n\n"
                                        << line << "\n\xff\xfe\n"
                                        << std::string(kLongestRecordLine + 10, 'x') << "\n   \n"
                                        << line;
  std::vector<long> good, bad;
  std::string reasons;
  read_record_lines(path, [&](long number, LibraryRecord& record, const std::string& wrong) {
    (wrong.empty() ? good : bad).push_back(number);
    if (wrong.empty())
      EXPECT_EQ(record.program.arrival, 7);
    else
      reasons += wrong + "\n";
  });
  EXPECT_EQ(good, (std::vector<long>{1, 3, 7}));
  EXPECT_EQ(bad, (std::vector<long>{4, 5}));
  EXPECT_THAT(reasons, HasSubstr("no JSON"));
  EXPECT_THAT(reasons, HasSubstr("longer than 4194304 bytes"));
  const auto ignore = [](long, LibraryRecord&, const std::string&) {};
  EXPECT_THAT(message_of<UserError>([&] { read_record_lines(folder / "none", ignore); }), HasSubstr("no such file"));
  EXPECT_THAT(message_of<UserError>([&] { read_record_lines("/dev/zero", ignore); }), HasSubstr("no regular file"));
}

}  // namespace
}  // namespace sonar
