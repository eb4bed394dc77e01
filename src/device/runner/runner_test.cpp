// What the runner makes of programs, good and bad.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "device/test_kernels.h"
#include "device/winograd_weights.h"

namespace sonar {
namespace {

const char* const copy = "for (int i = 0; i < COUNT(1); ++i) DATA(1)[i] = DATA(0)[i];";

std::vector<BufferSpec> in_and_out(int count) { return {random_buffer({count}, 5), zero_buffer({count})}; }

// The kernel copies 100 random values and then does something more.
std::string failure_of_copy_and(const std::string& more) {
  const auto buffers = in_and_out(100);
  return failure(measure_kernel(std::string(copy) + more, buffers, values_of(buffers[0])));
}

TEST(Runner, ARightProgramIsMeasured) {
  const auto buffers = in_and_out(1000);
  const Outcome outcome = measure_kernel(copy, buffers, values_of(buffers[0]));
  ASSERT_EQ(failure(outcome), "");
  const Measurement& m = std::get<Measurement>(outcome);
  EXPECT_GE(m.samples_us.size(), 5u);
  EXPECT_LE(m.samples_us.size(), 6u);
  EXPECT_GE(m.runs, static_cast<long>(m.samples_us.size()));
  EXPECT_GT(m.minimum_us, 0);
  EXPECT_LE(m.minimum_us, m.median_us);
  EXPECT_FALSE(m.stopped_early);
  // Each sample is a burst of at least sample_us.
  EXPECT_GE(m.median_us * static_cast<double>(m.runs) / static_cast<double>(m.samples_us.size()), 20 * 0.5);
}

TEST(Runner, BuffersAreHalideBuffersWithDenseStrides) {
  EXPECT_EQ(
      failure(measure_kernel(R"(
    const struct halide_buffer_t *b = BUFFER(0);
    float *out = DATA(1);
    out[0] = b->dimensions;
    for (int d = 0; d < 3; ++d) {
      out[1 + 3 * d] = b->dim[d].min;
      out[2 + 3 * d] = b->dim[d].extent;
      out[3 + 3 * d] = b->dim[d].stride;
    }
    out[10] = b->type.code == halide_type_float && b->type.bits == 32 && b->type.lanes == 1;
    out[11] = (uintptr_t)b->host % 128;)",
                             {random_buffer({5, 7, 3}, 1), zero_buffer({12})}, {3, 0, 5, 1, 0, 7, 5, 0, 3, 35, 1, 0})),
      "");
}

TEST(Runner, AWrongValueIsNamed) {
  const auto buffers = in_and_out(100);
  std::vector<float> expected = values_of(buffers[0]);
  expected[42] = 2;
  expected[77] = 3;
  const std::string message = failure(measure_kernel(copy, buffers, expected));
  EXPECT_EQ(message.find("wrong answer: buffer 1: 2 of 100 values differ; the first at index 42: got "), 0u) << message;
  EXPECT_NE(message.find(", expected 2"), std::string::npos) << message;
}

TEST(Runner, ToleranceIsAbsolutePlusRelative) {
  const float unit = values_of(random_buffer({1}, 8))[0];
  for (const float expected : {0.0f, 1.0f, -1000.0f}) {
    const float slack = 1e-2f * (1 + std::fabs(expected));
    for (const float error : {0.9f, -0.9f, 1.1f, -1.1f}) {
      BufferSpec in = random_buffer({1}, 8);
      in.scale = (expected + error * slack) / unit;  // so that its one value is expected + error * slack
      Case c = one_call(0, {in, zero_buffer({1})}, {expected});
      c.tolerance = 1e-2f;
      EXPECT_EQ(failure(measure_kernel(copy, c)) == "", std::fabs(error) < 1) << expected << " " << error;
    }
  }
}

TEST(Runner, NanAndInfinityAreWrong) {
  EXPECT_NE(failure_of_copy_and("DATA(1)[99] = NAN;").find("index 99: got nan"), std::string::npos);
  EXPECT_NE(failure_of_copy_and("DATA(1)[0] = INFINITY;").find("index 0: got inf"), std::string::npos);
  Case c = one_call(0, {zero_buffer({1}), zero_buffer({1})}, {NAN});
  EXPECT_NE(failure(measure_kernel("DATA(1)[0] = NAN;", c)).find("expected nan"), std::string::npos);
}

TEST(Runner, AnAnswerThatTurnsWrongLaterIsSeen) {
  EXPECT_NE(failure_of_copy_and("static int calls; if (++calls > 3) DATA(1)[7] += 1;").find("the first at index 7"),
            std::string::npos);
}

TEST(Runner, AnAnswerThatIsWrongInTheSecondRunOnlyIsSeen) {
  EXPECT_NE(failure_of_copy_and("static int calls; if (++calls == 2) DATA(1)[7] += 1;").find("the first at index 7"),
            std::string::npos);
}

TEST(Runner, AProgramThatComputesOnlyOnceIsSeen) {
  const auto buffers = in_and_out(100);
  const std::string message =
      failure(measure_kernel(std::string("static int calls; if (++calls < 4)") + copy, buffers, values_of(buffers[0])));
  EXPECT_NE(message.find("100 of 100 values differ"), std::string::npos) << message;
}

TEST(Runner, WritesOutsideABufferAreSeen) {
  EXPECT_EQ(failure_of_copy_and("DATA(1)[100] = 0;"), "wrong answer: wrote outside buffer 1, 0 bytes after its end");
  EXPECT_EQ(failure_of_copy_and("DATA(1)[1100] = 0;"),
            "wrong answer: wrote outside buffer 1, 4000 bytes after its end");
  EXPECT_EQ(failure_of_copy_and("DATA(1)[-1] = 0;"), "wrong answer: wrote outside buffer 1, 1 bytes before its start");
  EXPECT_EQ(failure_of_copy_and("DATA(0)[-16] = 0;"),
            "wrong answer: wrote outside buffer 0, 61 bytes before its start");
  EXPECT_EQ(failure_of_copy_and("DATA(0)[100] = 0;"), "wrong answer: wrote outside buffer 0, 0 bytes after its end");
}

TEST(Runner, WritesFarOutsideABufferCrash) {
  EXPECT_EQ(failure_of_copy_and("DATA(1)[1 << 14] = 0;"), "crash: killed by signal 11 (Segmentation fault)");
  EXPECT_EQ(failure_of_copy_and("DATA(1)[-(1 << 14)] = 0;"), "crash: killed by signal 11 (Segmentation fault)");
}

TEST(Runner, WritesIntoAnInputAreSeen) {
  EXPECT_EQ(failure_of_copy_and("DATA(0)[50] += 1;"), "wrong answer: wrote into buffer 0, which is an input");
}

TEST(Runner, Crashes) {
  EXPECT_EQ(failure_of_copy_and("*(volatile int *)8 = 1;"), "crash: killed by signal 11 (Segmentation fault)");
  EXPECT_EQ(failure_of_copy_and("fprintf(stderr, \"one\\nall is lost\\n\"); abort();"),
            "crash: killed by signal 6 (Aborted): all is lost");
  EXPECT_EQ(failure_of_copy_and("raise(SIGFPE);"), "crash: killed by signal 8 (Floating point exception)");
  EXPECT_EQ(failure_of_copy_and("exit(0);"), "crash: exited with code 0 before it was measured");
  EXPECT_EQ(failure_of_copy_and("_exit(3);"), "crash: exited with code 3 before it was measured");
  EXPECT_EQ(failure_of_copy_and("return -7;"), "crash: call 0 returned -7: ");
}

TEST(Runner, AHugeAllocationFailsInsteadOfTakingTheMachinesMemory) {
  const std::string take =
      "char *m = malloc(64ul << 30); if (!m) return -1; memset(m, 1, 64ul << 30); DATA(1)[0] = m[9];";
  EXPECT_EQ(failure_of_copy_and(take), "crash: call 0 returned -1: ");
  EXPECT_EQ(failure_of_copy_and(
                "volatile char *m = malloc(64ul << 30); for (size_t i = 0; i < 64ul << 30; i += 4096) m[i] = 1;"),
            "crash: killed by signal 11 (Segmentation fault)");
}

TEST(Runner, AnEndlessLoopEndsAtTheTimeLimit) {
  for (const char* forever : {"for (volatile int i = 0;; ++i);", "for (;;) pause();"}) {
    Case c = one_call(0, in_and_out(10), {});
    c.time_limit_s = 0.3;
    EXPECT_EQ(failure(measure_kernel(forever, c)), "run timeout: ran longer than 0.3 s");
  }
}

TEST(Runner, ASlowProgramIsMeasuredWithFewSamples) {
  Case c = one_call(0, in_and_out(10), {});
  c.time_limit_s = 0.8;  // four runs must fit: two that are checked, one sample, one that is checked
  const Outcome outcome = measure_kernel("struct timespec t = {0, 150000000}; nanosleep(&t, 0);", c);
  ASSERT_EQ(failure(outcome), "");
  EXPECT_LE(std::get<Measurement>(outcome).samples_us.size(), 2u);
  EXPECT_GE(std::get<Measurement>(outcome).minimum_us, 150000);
}

TEST(Runner, WhatAProgramPrintsCannotForgeAResult) {
  EXPECT_EQ(
      failure_of_copy_and("printf(\"ok 0 1 0 1 1 1\\nend\\n\"); fflush(stdout); write(1, \"ok 0 1 0 5\\n\", 11);"), "");
  EXPECT_EQ(failure_of_copy_and("for (int i = 0; i < 100; ++i) fprintf(stderr, \"%01000d\\n\", i);"), "");
  EXPECT_EQ(failure_of_copy_and("char c; if (read(0, &c, 1) != 0) return 1;"), "");
}

TEST(Runner, StopsEarlyWhenClearlySlowerThanTheBest) {
  const char* slow = "struct timespec t = {0, 2000000}; nanosleep(&t, 0);";
  Case c = one_call(0, in_and_out(10), {});
  c.max_samples = 30;
  c.sampling_s = 5;
  c.best_us = 1000;
  const Outcome stopped = measure_kernel(slow, c);
  ASSERT_EQ(failure(stopped), "");
  EXPECT_TRUE(std::get<Measurement>(stopped).stopped_early);
  EXPECT_EQ(std::get<Measurement>(stopped).samples_us.size(), 2u);
  c.best_us = 1e6;
  const Outcome full = measure_kernel(slow, c);
  ASSERT_EQ(failure(full), "");
  EXPECT_FALSE(std::get<Measurement>(full).stopped_early);
  EXPECT_GE(std::get<Measurement>(full).samples_us.size(), 5u);
}

TEST(Runner, SamplingEndsWithItsTime) {
  // Every call takes another time, so the spread never becomes small.
  const char* uneven = "static int k; struct timespec t = {0, 1000000 * (1 + k++ % 4)}; nanosleep(&t, 0);";
  Case c = one_call(0, in_and_out(10), {});
  c.max_samples = 2000;
  c.sampling_s = 0.1;
  const Outcome outcome = measure_kernel(uneven, c);
  ASSERT_EQ(failure(outcome), "");
  const Measurement& m = std::get<Measurement>(outcome);
  double total_us = 0;
  for (double sample : m.samples_us) total_us += sample;
  EXPECT_GE(total_us, 0.1e6 - 5000);
  EXPECT_LT(m.samples_us.size(), 2000u);
  c.sampling_s = 1e-6;
  EXPECT_EQ(std::get<Measurement>(measure_kernel(uneven, c)).samples_us.size(), 3u);
}

// stored[b][u][j][k] = given[b * block + j][u * unit + k] within each run, zero where there is no such row or value.
TEST(Runner, WeightsArePackedInBlocksOfRows) {
  struct Shape {
    int rows, runs, run, block, unit;
  };
  for (const Shape s : {Shape{6, 1, 4, 3, 1}, Shape{7, 1, 5, 4, 1}, Shape{1, 1, 3, 8, 1}, Shape{8, 1, 1, 8, 1},
                        Shape{5, 1, 2, 1, 1}, Shape{7, 3, 4, 4, 2}, Shape{6, 2, 5, 4, 4}, Shape{3, 3, 9, 8, 2}}) {
    const int blocks = (s.rows + s.block - 1) / s.block, units = (s.run + s.unit - 1) / s.unit;
    BufferSpec weights = random_buffer({s.block * s.unit, units, s.runs, blocks}, 9);
    weights.block = s.block;
    weights.rows = s.rows;
    weights.run = s.run;
    weights.unit = s.unit;
    const std::vector<float> given = values_of(random_buffer({s.rows * s.runs * s.run}, 9));
    std::vector<float> stored;
    for (int b = 0; b < blocks; ++b)
      for (int i = 0; i < s.runs * units; ++i)
        for (int j = 0; j < s.block; ++j)
          for (int k = 0; k < s.unit; ++k) {
            const int row = b * s.block + j, value = i % units * s.unit + k;
            const bool is_given = row < s.rows && value < s.run;
            stored.push_back(is_given ? given[(row * s.runs + i / units) * s.run + value] : 0);
          }
    EXPECT_EQ(failure(measure_kernel(copy, {weights, zero_buffer({static_cast<int>(stored.size())})}, stored)), "");
  }
}

// Of the transform some points are known in closed form: zero and infinity take a kernel's first (with 9 points twice
// that) and last row and column, and the further points of stride 2 (5 and 9 points) its middle ones.
TEST(Runner, WeightsOfMinimalFilteringAreTransformedThenPacked) {
  constexpr int kRows = 5, kChannels = 3, kBlock = 4, kBlocks = 2;
  for (const int points : {4, 6, 5, 9}) {
    const int infinity = points % 2 == 0 ? points - 1 : points / 2;
    BufferSpec weights = random_buffer({kBlock, kChannels, points, points, kBlocks}, 9);
    weights.block = kBlock;
    weights.rows = kRows;
    weights.winograd_points = points;
    const std::vector<float> given = values_of(random_buffer({kRows * 9 * kChannels}, 9));
    std::vector<float> transformed(kRows * points * points * kChannels), stored;
    winograd_weights(points, kRows, kChannels, given.data(), transformed.data());
    for (int row = 0; row < kRows; ++row)
      for (int c = 0; c < kChannels; ++c) {
        const float* kernel = &given[row * 9 * kChannels + c];
        const float* u = &transformed[row * points * points * kChannels + c];
        EXPECT_EQ(u[0], kernel[0] * (points == 9 ? 4 : 1));
        EXPECT_EQ(u[infinity * kChannels], kernel[2 * kChannels] * (points == 9 ? 2 : 1));
        EXPECT_EQ(u[(infinity * points + infinity) * kChannels], kernel[8 * kChannels]);
        if (infinity < points - 1) {
          EXPECT_EQ(u[(points * points - 1) * kChannels], kernel[4 * kChannels]);
        }
      }
    const int inner = points * points * kChannels;
    for (int b = 0; b < kBlocks; ++b)
      for (int i = 0; i < inner; ++i)
        for (int j = 0; j < kBlock; ++j) {
          const int row = b * kBlock + j;
          stored.push_back(row < kRows ? transformed[row * inner + i] : 0);
        }
    EXPECT_EQ(failure(measure_kernel(copy, {weights, zero_buffer({static_cast<int>(stored.size())})}, stored)), "");
  }
}

TEST(Runner, ValuesComeFromFiles) {
  const TestFolder folder;
  const std::vector<float> values = {1.5f, -2, 3e-20f, 4};
  const std::string path = folder.file("name with spaces.bin");
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 16);
  BufferSpec buffer = zero_buffer({4});
  buffer.fill = BufferSpec::Fill::file;
  buffer.path = path;
  Case c = one_call(0, {buffer, zero_buffer({4})}, values);
  c.tolerance = 0;
  EXPECT_EQ(failure(measure_kernel(copy, c)), "");

  c.buffers[0].extents = {5};
  EXPECT_EQ(failure(measure_kernel("", c)), "device unreachable: " + path + " holds 4 values where 5 are needed");
  c.buffers[0].path = "/no/such/file";
  EXPECT_EQ(failure(measure_kernel("", c)), "device unreachable: cannot read /no/such/file: No such file or directory");
}

TEST(Runner, ScaleScales) {
  BufferSpec in = random_buffer({50}, 3);
  in.scale = 0.125f;
  EXPECT_EQ(failure(measure_kernel(copy, {in, zero_buffer({50})}, values_of(in))), "");
}

// The calls of a case with a context are each timed alone, between untimed passes.
TEST(Runner, ACallBetweenOthersIsTimedAlone) {
  const auto buffers = in_and_out(1000);
  Case c = one_call(0, buffers, values_of(buffers[0]));
  c.context_bytes = 1 << 20;
  c.buffers[0].reuse_bytes = {0};
  c.buffers[1].reuse_bytes = {1 << 16, 1 << 20, 0};
  const Outcome outcome = measure_kernel(copy, c);
  ASSERT_EQ(failure(outcome), "");
  const Measurement& m = std::get<Measurement>(outcome);
  EXPECT_GT(m.minimum_us, 0);
  EXPECT_LE(m.minimum_us, m.median_us);
  EXPECT_GE(m.runs, static_cast<long>(m.samples_us.size()));

  // Reading the context takes longer than the call; none of that is the call's.
  c.expected.clear();
  c.context_bytes = 64 << 20;
  c.max_samples = 3;
  const Outcome nothing = measure_kernel("", c);
  ASSERT_EQ(failure(nothing), "");
  EXPECT_LT(std::get<Measurement>(nothing).minimum_us, 1000) << "64 MiB take longer than that";
}

TEST(Runner, TimePassesBetweenCalls) {
  Case c = one_call(0, in_and_out(1), {});
  c.context_bytes = 1 << 18;
  c.context_us = 2000;
  c.max_samples = 5;
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = measure_kernel("", c);
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  ASSERT_EQ(failure(outcome), "");
  const Measurement& m = std::get<Measurement>(outcome);
  EXPECT_GT(taken.count(), 2000 * static_cast<double>(m.runs));
  EXPECT_LT(m.minimum_us, 1000) << "the time between calls is not the call's";
}

TEST(Runner, NothingIsChangedBetweenCalls) {
  // Inputs are written again with what they hold; what the program leaves in its output stays until the next call.
  const auto buffers = in_and_out(1000);
  Case c = one_call(0, buffers, values_of(buffers[0]));
  c.context_bytes = 4096;
  for (BufferSpec& buffer : c.buffers) buffer.reuse_bytes = {0, 1024};
  EXPECT_EQ(
      failure(measure_kernel("static int calls; for (int i = 0; calls > 2 && i < COUNT(1); ++i) if (DATA(1)[i] != "
                             "DATA(0)[i]) return -7; ++calls; " +
                                 std::string(copy),
                             c)),
      "crash: call 0 returned -7: ");  // the last checked run begins on NaNs
}

TEST(Runner, FaultsBetweenOtherCallsAreSeen) {
  const auto buffers = in_and_out(100);
  Case c = one_call(0, buffers, values_of(buffers[0]));
  c.context_bytes = 1 << 16;
  c.buffers[0].reuse_bytes = c.buffers[1].reuse_bytes = {0};
  const auto failure_of = [&](const std::string& more) { return failure(measure_kernel(std::string(copy) + more, c)); };
  EXPECT_NE(failure_of("static int calls; if (++calls > 3) DATA(1)[7] += 1;").find("the first at index 7"),
            std::string::npos);
  EXPECT_EQ(failure_of("static int calls; if (++calls > 3) DATA(0)[50] += 1;"),
            "wrong answer: wrote into buffer 0, which is an input");
  EXPECT_NE(failure_of("DATA(1)[100] = 0;").find("wrote outside buffer 1"), std::string::npos);
}

TEST(Runner, AClearlySlowerProgramIsStoppedBetweenOtherCallsToo) {
  Case c = one_call(0, in_and_out(1), {});
  c.context_bytes = 1 << 16;
  c.best_us = 100;
  c.max_samples = 100;
  const Outcome outcome = measure_kernel("struct timespec t = {0, 1000000}; nanosleep(&t, 0);", c);
  ASSERT_EQ(failure(outcome), "");
  EXPECT_TRUE(std::get<Measurement>(outcome).stopped_early);
  EXPECT_EQ(std::get<Measurement>(outcome).samples_us.size(), 2u);
}

TEST(Runner, BuffersMayShareOneThatHoldsThem) {
  // in -> a -> b -> c, where c lies where a was.
  Case c;
  c.buffers = {random_buffer({64}, 2), zero_buffer({160}), zero_buffer({64}), zero_buffer({32, 2}), zero_buffer({64})};
  for (int part : {2, 3, 4}) c.buffers[part].inside = 1;
  c.buffers[3].offset = 96;
  c.calls = {{0, {0, 2}}, {0, {2, 3}}, {0, {3, 4}}};
  c.checked_buffer = 4;
  for (float v : values_of(c.buffers[0])) c.expected.push_back(v + 1 + 1 + 1);
  c.max_samples = 5;
  const std::string add = "for (int i = 0; i < 64; ++i) DATA(1)[i] = DATA(0)[i] + 1;";
  EXPECT_EQ(failure(measure_kernel(add, c)), "");
  // Each run begins on NaNs, so that nothing is read that was not written.
  EXPECT_NE(failure(measure_kernel("static int calls; if (calls++ % 3 == 1) return 0; " + add, c)).find("nan"),
            std::string::npos);
  EXPECT_NE(
      failure(measure_kernel(add + "if (DATA(1) - DATA(0) == 96) DATA(1)[64] = 0;", c)).find("wrote outside buffer 1"),
      std::string::npos);
}

TEST(Runner, SeveralCallsMakeOneSample) {
  // out = in + 1 + 1 through an intermediate buffer, as two calls of one function.
  Case c;
  c.buffers = {random_buffer({64}, 2), zero_buffer({64}), zero_buffer({64})};
  c.calls = {{0, {0, 1}}, {0, {1, 2}}};
  c.checked_buffer = 2;
  for (float v : values_of(c.buffers[0])) c.expected.push_back(v + 1 + 1);
  c.max_samples = 5;
  EXPECT_EQ(failure(measure_kernel("for (int i = 0; i < COUNT(1); ++i) DATA(1)[i] = DATA(0)[i] + 1;", c)), "");

  const char* nap = "struct timespec t = {0, 1000000}; nanosleep(&t, 0);";
  c.expected.clear();
  const Outcome two = measure_kernel(nap, c);
  ASSERT_EQ(failure(two), "");
  EXPECT_GE(std::get<Measurement>(two).minimum_us, 2000);
}

}  // namespace
}  // namespace sonar
