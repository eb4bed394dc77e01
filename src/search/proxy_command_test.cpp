#include "search/proxy_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "model/error.h"
#include "search/trainer_client.h"

namespace sonar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A command that runs a line of shell, to which the file is $0.
ProxyCommand shell(const std::string& line, double time_limit_s = 60) {
  return {"sh -c '" + line + "'", {}, time_limit_s};
}

std::string refusal(const ProxyCommand& command) {
  try {
    command.ask("net-3", "/tmp/net-3.onnx");
  } catch (const EnvironmentError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ProxyCommand, TheOneNumberThatItPrints) {
  EXPECT_EQ(shell("echo 2.5").ask("net", "f"), 2.5);
  EXPECT_EQ(shell("printf \"\\n 1e-3\\t\"; echo loading >&2").ask("net", "f"), 1e-3);
  EXPECT_EQ(shell("test \"$0\" = \"a file\" && echo 7").ask("net", "a file"), 7);
}

TEST(ProxyCommand, ErrorsNameTheNetworkTheCommandAndTheRemedy) {
  for (const char* line : {"exit 0", "echo two", "echo 1 2", "echo 1ms", "echo nan", "echo inf", "echo 0", "echo -2",
                           "echo 1; exit 3", "kill -9 $$", "echo Warning: 3; echo 4"})
    EXPECT_THAT(refusal(shell(line)), AllOf(HasSubstr("search.proxy, of net-3: it "),
                                            HasSubstr(std::string("try it by hand: sh -c '") + line +
                                                      "' '/tmp/net-3.onnx', then run the same "
                                                      "command to continue: nothing measured is lost")))
        << line;
  EXPECT_THAT(refusal(shell("exit 0")), HasSubstr("it printed nothing; it must print milliseconds"));
  EXPECT_THAT(refusal(shell("echo two")), HasSubstr("it printed 'two', which is not one number"));
  EXPECT_THAT(refusal(shell("echo -2")), HasSubstr("it printed -2; a latency is a number of milliseconds above 0"));
  EXPECT_THAT(refusal(shell("echo nan")), HasSubstr("above 0"));
  EXPECT_THAT(refusal(shell("echo no such model >&2; exit 3")), HasSubstr("it exited with code 3: no such model"));
  EXPECT_THAT(refusal(shell("kill -9 $$")), HasSubstr("it was killed by signal 9"));
  EXPECT_THAT(refusal(shell("sleep 600", 0.1)),
              HasSubstr("it has not ended after 0.1 s; make it faster, or raise search.proxy_time_limit_s"));
  EXPECT_THAT(refusal({"no-such-command-of-sonar", {}, 60}), HasSubstr("no-such-command-of-sonar"));
}

TEST(ProxyCommand, StopsOnDemand) {
  std::atomic<bool> stop{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  EXPECT_THROW(shell("sleep 600").ask("net", "f", &stop), Stopped);
  later.join();
  stop = false;
  EXPECT_EQ(shell("echo 3").ask("net", "f", &stop), 3);
}

}  // namespace
}  // namespace sonar
