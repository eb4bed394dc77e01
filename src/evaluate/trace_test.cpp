#include "evaluate/trace.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>

#include "evaluate/csv.h"
#include "evaluate/test_traces.h"
#include "model/error.h"

namespace sonar {
namespace {

using test::TraceFolder;

TEST(Csv, QuotedFieldsLineBreaksAndEndings) {
  const TraceFolder folder;
  folder.write("a.csv", "name,\"the \"\"value\"\"\"\r\n\"x, y\",1\r\n\n\"two\nlines\",2\nlast,3");
  CsvReader csv(folder.path + "/a.csv");
  ASSERT_EQ(csv.header(), (std::vector<std::string>{"name", "the \"value\""}));
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.field(0), "x, y");
  EXPECT_EQ(csv.number(1), 1);
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.field(0), "two\nlines");
  EXPECT_EQ(csv.place(), folder.path + "/a.csv:4");
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.field(0), "last");
  EXPECT_EQ(csv.place(), folder.path + "/a.csv:6");
  EXPECT_FALSE(csv.next());
}

TEST(Csv, EveryCutOfAFileEndsOrRefuses) {
  const std::string text = "a,b\n\"x\"\"y\",1\nz,\"2\"\n";
  const TraceFolder folder;
  for (size_t length = 1; length <= text.size(); ++length) {
    folder.write("a.csv", text.substr(0, length));
    try {
      CsvReader csv(folder.path + "/a.csv");
      long rows = 0;
      while (csv.next()) ++rows;
      EXPECT_LE(rows, 2);
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find("a.csv:"), std::string::npos);
    }
  }
}

TEST(Csv, LinesLongerThanABlockAreRead) {
  const TraceFolder folder;
  std::string text = "a,b\n";
  for (int row = 0; row < 3; ++row) text += std::string(700000, 'x') + ",\"" + std::string(300000, ',') + "\"\n";
  folder.write("a.csv", text);
  CsvReader csv(folder.path + "/a.csv");
  long rows = 0;
  for (; csv.next(); ++rows) {
    EXPECT_EQ(csv.field(0).size(), 700000u);
    EXPECT_EQ(csv.field(1).size(), 300000u);
  }
  EXPECT_EQ(rows, 3);
}

TEST(Trace, RowsMayStandWithinAnEpoch) {
  const TraceFolder folder;
  test::write_hand_made(folder);
  folder.write(
      "training.csv",
      "network,epoch,val_accuracy,seconds\nsmall,0.25,0.11,2.5\nsmall,2,0.4,20\nsmall,4,0.5,40\nmiddle,0.125,0.3,5\n"
      "large,1e-2,0.7,80\nuseless,2,0.3,60\n");
  const Trace trace = read_trace(folder.path);
  const TrainingCurve& small = trace.networks[0].training;
  EXPECT_DOUBLE_EQ(small.at(0.125).accuracy, 0.105);  // from chance
  EXPECT_DOUBLE_EQ(small.at(0.25).accuracy, 0.11);
  EXPECT_DOUBLE_EQ(small.at(0.25).seconds, 2.5);
  EXPECT_DOUBLE_EQ(small.at(1.125).accuracy, 0.255);  // half of the way to the next row
  EXPECT_EQ(trace.networks[1].final_accuracy, 0.3);
  EXPECT_EQ(trace.networks[2].training.rows.back().epoch, 0.01);
}

TEST(Trace, CurvesAreStraightLinesThatStayAtTheirEnd) {
  const TraceFolder folder;
  test::write_hand_made(folder);
  const Trace trace = read_trace(folder.path);
  ASSERT_EQ(trace.networks.size(), 4u);
  ASSERT_EQ(trace.subgraphs.size(), 3u);
  const TrainingCurve& small = trace.networks[0].training;
  EXPECT_DOUBLE_EQ(small.at(0).accuracy, 0.1);  // chance
  EXPECT_DOUBLE_EQ(small.at(1).accuracy, 0.25);
  EXPECT_DOUBLE_EQ(small.at(1).seconds, 10);
  EXPECT_DOUBLE_EQ(small.at(3).accuracy, 0.45);
  EXPECT_DOUBLE_EQ(small.at(9).accuracy, 0.5);
  EXPECT_DOUBLE_EQ(small.at(9).seconds, 40);
  const TuningCurve& a = trace.subgraphs[0].tuning;
  EXPECT_DOUBLE_EQ(a.at(1).latency_us, 20);
  EXPECT_DOUBLE_EQ(a.at(6).latency_us, 15);
  EXPECT_DOUBLE_EQ(a.at(6).seconds, 6);
  EXPECT_DOUBLE_EQ(a.at(100).seconds, 11);
  EXPECT_DOUBLE_EQ(trace.networks[2].final_latency_us, 60);
  EXPECT_DOUBLE_EQ(trace.brute_force_train_s, 400);
  EXPECT_DOUBLE_EQ(trace.brute_force_tune_s, 66);
  EXPECT_DOUBLE_EQ(trace.unshared_tune_s, 11 + 33 + 44 + 55);
}

TEST(Trace, BelowTheFirstRowAndWithoutAValidProgram) {
  const TraceFolder folder;
  test::write_hand_made(folder);
  folder.write("tuning.csv",
               "subgraph,programs,latency_us,seconds\na,8,20,16\na,16,10,32\nb,1,,2\nb,5,,6\nb,9,20,10\nc,1,,3\n");
  const Trace trace = read_trace(folder.path);
  EXPECT_DOUBLE_EQ(trace.subgraphs[0].tuning.at(1).latency_us, 20);
  EXPECT_DOUBLE_EQ(trace.subgraphs[0].tuning.at(1).seconds, 2);
  EXPECT_TRUE(std::isinf(trace.subgraphs[1].tuning.at(7).latency_us));
  EXPECT_DOUBLE_EQ(trace.subgraphs[1].tuning.at(9).latency_us, 20);
  EXPECT_TRUE(std::isinf(trace.networks[2].final_latency_us));
}

TEST(Trace, CompressedTablesAreRead) {
  const TraceFolder folder;
  test::write_hand_made(folder);
  const std::string plain = folder.path + "/tuning.csv";
  std::ifstream file(plain);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  gzFile packed = gzopen((plain + ".gz").c_str(), "wb");
  gzwrite(packed, text.data(), static_cast<unsigned>(text.size()));
  gzclose(packed);
  std::filesystem::remove(plain);
  EXPECT_DOUBLE_EQ(read_trace(folder.path).brute_force_tune_s, 66);
}

std::string complaint(const std::string& file, const std::string& text) {
  const TraceFolder folder;
  test::write_hand_made(folder);
  folder.write(file, text);
  try {
    read_trace(folder.path);
  } catch (const UserError& error) {
    return error.what();
  }
  return "none";
}

TEST(Trace, BadInputIsNamedWithItsPlace) {
  const auto has = [](const std::string& text, const std::string& file, const std::string& what) {
    const std::string message = complaint(file, text);
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  const std::string train = "network,epoch,val_accuracy,seconds\n", tune = "subgraph,programs,latency_us,seconds\n";
  has("", "networks.csv", "networks.csv: is empty");
  has("network,subgraphs\n", "networks.csv", "lists no network");
  has("network\nx\n", "networks.csv", "networks.csv:1: there is no column 'subgraphs'");
  has("network,subgraphs\nx,a\n", "networks.csv", "networks.csv:2: 'a' is no subgraph with its count");
  has("network,subgraphs\nx,a:0\n", "networks.csv", "write key:count");
  has("network,subgraphs\nx,\n", "networks.csv", "has no subgraph");
  has("network,subgraphs\nx,a:1\nx,a:1\n", "networks.csv", "networks.csv:3: network x stands there twice");
  has("network,subgraphs,chance\nx,a:1,10\n", "networks.csv", "chance is 10; accuracies are fractions 0..1");
  has("network,subgraphs,width\nx,a:1,wide\n", "networks.csv", "'wide' in column width is no finite number");
  has(train + "small,1,0.5\n", "training.csv", "training.csv:2: 3 fields, where the header names 4 columns");
  has(train + "tiny,1,0.5,1\n", "training.csv", "training.csv:2: network tiny is not in networks.csv");
  has(train + "small,1,50,1\n", "training.csv", "val_accuracy is 50");
  has(train + "small,2,0.5,1\nsmall,1,0.5,2\n", "training.csv", "training.csv:3: epoch 1 of small comes after epoch 2");
  has(train + "small,1,0.5,2\nsmall,2,0.5,1\n", "training.csv", "seconds fall from 2 to 1; they are cumulative");
  has(train + "small,1,0.5,nan\n", "training.csv", "is no finite number");
  has(train + "small,1,0.5,1\n", "training.csv", "has no row of network middle");
  has(train + "\"small,1,0.5,1\n", "training.csv", "training.csv:2: a quote begins here that does not end");
  has(tune + "d,1,2,3\n", "tuning.csv", "tuning.csv:2: subgraph d is not in networks.csv");
  has(tune + "a,1,-2,3\n", "tuning.csv", "latency_us is -2");
  has(tune + "a,0,2,3\n", "tuning.csv", "programs is 0");
  has(tune + "a,1,2,3\na,1,2,3\n", "tuning.csv", "program 1 of a comes after program 1");
  has(tune + "a,1,2,3\na,2,3,4\n", "tuning.csv", "the best latency rises from 2 us");
  has(tune + "a,1,2,3\n", "tuning.csv", "has no row of subgraph b");
  EXPECT_THROW(read_trace("/nonexistent"), UserError);
}

}  // namespace
}  // namespace sonar
