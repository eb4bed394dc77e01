#include "search/tuner_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "model/error.h"
#include "search/trainer_client.h"

namespace sonar {
namespace {

using testing::HasSubstr;

TEST(SplitCommand, WordsQuotesAndBackslashes) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split_command("a  b\tc "), (Words{"a", "b", "c"}));
  EXPECT_EQ(split_command("'a b' \"c 'd'\" e\\ f g\"h\"'i' ''"), (Words{"a b", "c 'd'", "e f", "ghi", ""}));
  EXPECT_EQ(split_command("\"a\\\"b\" 'c\\d'"), (Words{"a\"b", "c\\d"}));
  EXPECT_THROW(split_command("a 'b"), UserError);
  EXPECT_THROW(split_command("  "), UserError);
}

class TunerSessionTest : public testing::Test {
 protected:
  TunerSessionTest() {
    options.folder = testing::TempDir() + "tuner_session_test";
    std::filesystem::remove_all(options.folder);
    options.log_path = options.folder + "/log";
    use("");
  }
  void use(const std::string& arguments) {
    options.command = "python3 '" SONAR_SOURCE_DIR "/tests/fake_tuner.py' " + arguments;
  }
  TunerSession session() {
    return TunerSession(options, &stop, [this](const std::string& text) { notes.push_back(text); });
  }
  std::map<int, Outcome> tune(TunerSession& tuner, const std::vector<int>& trials) {
    std::map<int, Outcome> outcomes;
    tuner.tune(subgraph, trials, 0, [&](TunerSession::Answer answer) {
      EXPECT_TRUE(outcomes.emplace(answer.trial, std::move(answer.outcome)).second);
    });
    return outcomes;
  }
  /// The error of a session that commits the fault at its third answer; `answers` came before it.
  std::string error_of(const std::string& fault, std::vector<int> trials = {0, 1, 2, 3}) {
    use("--fault '" + fault + "' --at 2");
    TunerSession tuner = session();
    answers = 0;
    try {
      tuner.tune(subgraph, trials, 0, [&](const TunerSession::Answer&) { ++answers; });
    } catch (const EnvironmentError& error) {
      return error.what();
    }
    return "";
  }

  const Subgraph subgraph = parse_subgraph("conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-relu");
  TunerSessionOptions options;
  std::atomic<bool> stop{false};
  std::vector<std::string> notes;
  int answers = 0;
};

TEST_F(TunerSessionTest, SaysWhoItIsAndAnswersEveryTrial) {
  options.threads = 3;
  use("--measures --programs 6");
  TunerSession tuner = session();
  EXPECT_EQ(tuner.identity().name, "Fake 1.0");
  EXPECT_EQ(tuner.identity().target, "fake-target");
  EXPECT_TRUE(tuner.identity().measures);
  EXPECT_EQ(notes, std::vector<std::string>{"threads: 3"});
  const auto first = tune(tuner, {0});
  EXPECT_NEAR(std::get<Measurement>(first.at(0)).median_us, 30, 1e-9);
  EXPECT_EQ(std::get<Measurement>(first.at(0)).samples_us.size(), 3u);
  const auto rest = tune(tuner, {3, 4, 5, 6, 7});
  ASSERT_EQ(rest.size(), 5u);
  EXPECT_TRUE(std::holds_alternative<Measurement>(rest.at(3)));
  EXPECT_EQ(std::get<MeasureError>(rest.at(4)).kind, MeasureErrorKind::wrong_answer);
  EXPECT_EQ(std::get<MeasureError>(rest.at(4)).message, "made up");
  EXPECT_EQ(std::get<MeasureError>(rest.at(6)).kind, MeasureErrorKind::no_program);
  EXPECT_EQ(std::get<MeasureError>(rest.at(7)).kind, MeasureErrorKind::no_program);
  double again = 0;
  tuner.measure(subgraph, {3},
                [&](const TunerSession::Answer& answer) { again = std::get<Measurement>(answer.outcome).median_us; });
  EXPECT_NEAR(again / std::get<Measurement>(rest.at(3)).median_us, 1.01, 1e-9);
}

TEST_F(TunerSessionTest, EachBreachOfTheProtocolIsNamedWithTheCommandAndTheLine) {
  const std::vector<std::pair<std::string, std::string>> breaches = {
      {"garbage", "wrote what is no JSON object: Traceback (most"},
      {"other key", "answered for another subgraph than conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-relu: "},
      {"other trial", "answered for a trial of conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-relu that is not open: "},
      {"zero", "gave \"latency_us\" that is no positive number nor a list of them: "},
      {"text", "gave \"latency_us\" that is no positive number nor a list of them: "},
      {"empty", "gave \"latency_us\" that is an empty list: "},
      {"cause", "gave an \"error\" that is none of compile error, compile timeout, "}};
  for (const auto& [fault, text] : breaches) {
    const std::string error = error_of(fault);
    EXPECT_THAT(error, HasSubstr(text)) << fault;
    EXPECT_THAT(error, HasSubstr("the tuner 'python3 '")) << fault;
    EXPECT_THAT(error, HasSubstr("nothing measured is lost")) << fault;
    EXPECT_EQ(answers, 2) << fault;
  }
}

TEST_F(TunerSessionTest, AMeasurementThatIsMissingIsABreach) {
  use("--measures --fault 'early end' --at 0");
  TunerSession tuner = session();
  try {
    tuner.measure(subgraph, {2}, [](const TunerSession::Answer&) {});
    FAIL();
  } catch (const EnvironmentError& error) {
    EXPECT_THAT(error.what(), HasSubstr("without an answer for trial 2"));
  }
}

TEST_F(TunerSessionTest, OneThatDiesOrHangsIsGone) {
  use("--fault die --at 2");
  TunerSession dying = session();
  try {
    tune(dying, {0, 1, 2, 3});
    FAIL();
  } catch (const TunerGone& gone) {
    EXPECT_EQ(gone.cause, MeasureErrorKind::crash);
    EXPECT_THAT(gone.what(), HasSubstr("exited with code 7: fake_tuner: out of luck"));
  }
  options.time_limit_s = 5;
  use("--fault hang --at 1");
  TunerSession hanging = session();
  try {
    tune(hanging, {0, 1, 2});
    FAIL();
  } catch (const TunerGone& gone) {
    EXPECT_EQ(gone.cause, MeasureErrorKind::run_timeout);
    EXPECT_THAT(gone.what(), HasSubstr("said nothing for 5 s (search.tuner_time_limit_s)"));
  }
}

TEST_F(TunerSessionTest, OneThatCannotBeginIsRefused) {
  const auto error = [&](const std::string& arguments) {
    use(arguments);
    try {
      session();
    } catch (const EnvironmentError& refusal) {
      return std::string(refusal.what());
    }
    return std::string();
  };
  EXPECT_THAT(error("--fault 'no hello'"), HasSubstr("fake_tuner: no compiler here before its hello"));
  EXPECT_THAT(error("--fault refusal"), HasSubstr("batch 7 cannot be tuned; set device.batch = 1"));
  EXPECT_THAT(error("--protocol 9"), HasSubstr("speaks version 9 of the protocol, not 1"));
  options.command = "no-such-tuner --fast";
  EXPECT_THROW(session(), EnvironmentError);
}

TEST_F(TunerSessionTest, StopsSoonWhenToldTo) {
  use("--fault hang --at 0");
  TunerSession tuner = session();
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop = true;
  });
  EXPECT_THROW(tune(tuner, {0}), Stopped);
  stopper.join();
}

}  // namespace
}  // namespace sonar
