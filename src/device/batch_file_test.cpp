#include "device/batch_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "device/link.h"
#include "device/test_kernels.h"
#include "model/error.h"
#include "process/process.h"

namespace sonar {
namespace {

Batch small_batch() {
  Batch batch;
  batch.functions = {"f", "g"};
  batch.cases = {one_call(0, {random_buffer({2, 3}, 18446744073709551615u), zero_buffer({4})}, {1, 2, 3, 4}),
                 one_call(1, {random_buffer({2, 3}, 1), zero_buffer({4})}, {1, 2, 3, 4}),
                 one_call(1, {random_buffer({2, 3}, 1), zero_buffer({4})}, {1, 2, 3, 5}),
                 one_call(1, {random_buffer({2, 3}, 1), zero_buffer({4})}, {})};
  return batch;
}

TEST(BatchFile, EqualExpectedValuesAreHeldOnce) {
  const Batch batch = small_batch();
  const BatchText all = describe_batch(batch, {0, 1, 2, 3}, 2);
  EXPECT_EQ(all.values.size(), 2u);
  EXPECT_EQ(all.text.size() % 64, 0u);
  EXPECT_EQ(all.text.rfind("sonar-batch 5 ", 0), 0u);
  EXPECT_EQ(std::stoul(all.text.substr(14)), all.text.size());
  EXPECT_NE(all.text.find("\nthreads 2\nexpected 2 4 4\ncases 4\n"), std::string::npos) << all.text;
  EXPECT_NE(all.text.find("\nbuffer random 18446744073709551615 1 0 0 0 1 0 -1 0 0 2 2 3 0\n"), std::string::npos)
      << all.text;
  EXPECT_EQ(describe_batch(batch, {3}, 1).values.size(), 0u);
}

std::string complaint(const std::function<void(Batch&)>& spoil) {
  Batch batch = small_batch();
  spoil(batch);
  try {
    check_batch(batch);
  } catch (const InternalError& e) {
    return e.what();
  }
  return "";
}

TEST(BatchFile, BatchesThatMakeNoSenseAreRefused) {
  EXPECT_EQ(complaint([](Batch&) {}), "");
  EXPECT_EQ(complaint([](Batch& b) { b.functions = {"f", "f"}; }), "batch: two functions of one name");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[2].calls[0].function = 2; }),
            "case 2: calls a function that is not there");
  EXPECT_EQ(complaint([](Batch& b) {
              b.cases[1].calls[0].buffers = {0, 2};
            }),
            "case 1: a call names a buffer that is not there");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[1].calls.clear(); }), "case 1: no call");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[1].calls[0].buffers.clear(); }), "case 1: a call without buffers");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].buffers[1].extents = {0}; }),
            "case 0, buffer 1: an extent is not positive");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].expected.pop_back(); }),
            "case 0: expects another number of values than the checked buffer has");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].checked_buffer = -1; }), "case 0: checks a buffer that is not there");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].time_limit_s = 0; }), "case 0: no time limit");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[3].context_bytes = kMostContextBytes + 1; }),
            "case 3: a context of more than 128 MiB");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[3].context_us = kMostContextUs + 1; }),
            "case 3: a context that takes less than 0 or more than 6 ms");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].buffers[1].inside = 1; }),
            "case 0, buffer 1: inside a buffer that is itself inside one, or comes later");
  EXPECT_EQ(complaint([](Batch& b) {
              b.cases[0].buffers[1].inside = 0;
              b.cases[0].buffers[1].offset = 3;
            }),
            "case 0, buffer 1: reaches out of the buffer that it is inside of");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].buffers[1].reuse_bytes.assign(100000, 0); }),
            "case 0, buffer 1: more parts than values");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].max_samples = 0; }), "case 0: max_samples is not in 1..2000");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].buffers[0].fill = BufferSpec::Fill::file; }),
            "case 0, buffer 0: filled from a file without a path");
  EXPECT_EQ(complaint([](Batch& b) { b.cases[0].buffers[0].block = 4; }), "case 0, buffer 0: packed without rows");
  EXPECT_EQ(complaint([](Batch& b) {
              b.cases[0].buffers[0].block = 4;
              b.cases[0].buffers[0].rows = 3;
            }),
            "case 0, buffer 0: extents that ceil(rows / block) * block does not divide");
}

TEST(BatchFile, TheRunnerRefusesAFileCutAtAnyByte) {
  const TestFolder folder;
  Batch batch = small_batch();
  const Linked linked = RunnerLinker(test_device_options(folder.path()))
                            .link({kernel_object("f", "DATA(1)[0] = 1;"), kernel_object("g", "DATA(1)[0] = 1;")},
                                  batch.functions, folder.file("runner"));
  const BatchText whole = describe_batch(batch, {0, 3}, 1);
  const std::string bytes = whole.text + std::string(whole.values.at(0));
  const auto run_cut_at = [&](size_t size) {
    write_file(folder.file("batch"), {std::string_view(bytes).substr(0, size)});
    ProcessOptions runner;
    runner.command = {linked.executable, folder.file("batch"), "2"};  // beyond the last case: it only reads
    return run_process(runner, "", 30);
  };
  EXPECT_EQ(run_cut_at(bytes.size()).out, "sonar-runner 1\nend\n");
  for (size_t size = 0; size < bytes.size(); ++size) {
    const ProcessResult result = run_cut_at(size);
    ASSERT_EQ(result.exit_code, 2) << size;
    ASSERT_EQ(result.out.rfind("sonar-runner 1\nfatal ", 0), 0u) << size << result.out;
  }
}

TEST(BatchFile, AFullDiskNamesTheFolder) {
  try {
    write_file("/dev/full", {"text"});
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_STREQ(e.what(),
                 "cannot write /dev/full: No space left on device; free some space in /dev or choose another "
                 "work folder");
  }
  try {
    write_file("/no/such/folder/file", {"text"});
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_STREQ(e.what(),
                 "cannot write /no/such/folder/file: No such file or directory; is /no/such/folder a folder "
                 "that may be written?");
  }
}

}  // namespace
}  // namespace sonar
