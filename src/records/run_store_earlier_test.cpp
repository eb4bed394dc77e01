// What a run takes from the record library and gives to it, and stores of the schema before there was one.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "records/run_store.h"
#include "records/temporary_folder.h"
#include "records/test_records.h"

namespace sonar {
namespace {

using testing::HasSubstr;
constexpr auto kWrite = RunStore::Mode::create_or_open;
constexpr auto kRead = RunStore::Mode::read_only;

void put_programs(RunStore& store, int count) {
  store.bind_configuration({{"verb", "tune net"}});
  store.bind_identity(test_identity());
  const long defaults =
      store.put_measure_job({.subgraph = "a", .purpose = MeasurePurpose::fallback, .programs = {{0}}});
  const long batch = store.put_measure_job({.subgraph = "a", .purpose = MeasurePurpose::batch, .programs = {{1}}});
  for (int i = 0; i < count; ++i) {
    ProgramRow row;
    row.job = i == 0 ? defaults : batch;
    row.index = i;
    row.subgraph = "a";
    row.knobs = {i};
    row.knobs_text = "k=" + std::to_string(i);
    row.outcome = Measurement{{1.0 + i}, 1.0 + i, 1.0 + i, 0, 1, false};
    row.measured_at = i == 1 ? 1234.5 : -1;
    store.put_program(row);
  }
}

TEST(RunStoreEarlier, WhatWasTakenReadsBackAndIsTakenOnce) {
  TemporaryFolder folder;
  {
    RunStore store(folder.path(), kWrite);
    EXPECT_FALSE(store.has_earlier());
    store.put_earlier({{"a", 300, true}, {"b", 2, false}},
                      {{"a", "k=1", 2.5, true}, {"c", "", std::nullopt, false, MeasureErrorKind::wrong_answer}});
    EXPECT_TRUE(store.has_earlier());
    EXPECT_THROW(store.put_earlier({}, {}), std::exception);
  }
  const RunStore store(folder.path(), kRead);
  ASSERT_EQ(store.earlier().size(), 2u);
  EXPECT_EQ(store.earlier()[0].latency_us, 2.5);
  EXPECT_TRUE(store.earlier()[0].default_program);
  EXPECT_EQ(store.earlier()[1].subgraph, "c");
  EXPECT_FALSE(store.earlier()[1].latency_us);
  EXPECT_EQ(store.earlier()[1].failure, MeasureErrorKind::wrong_answer);
  ASSERT_EQ(store.earlier_subgraphs().size(), 2u);
  EXPECT_EQ(store.earlier_subgraphs()[0].programs, 300);
  EXPECT_TRUE(store.earlier_subgraphs()[0].answered);
  EXPECT_FALSE(store.earlier_subgraphs()[1].answered);
}

TEST(RunStoreEarlier, ARunThatMeasuredNothingForgetsItWithItsConfiguration) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.bind_configuration({{"seed", "1"}});
  store.put_earlier({{"a", 1, true}}, {{"a", "k=1", 2.5, false}});
  store.bind_configuration({{"seed", "2"}});
  EXPECT_FALSE(store.has_earlier());
  EXPECT_TRUE(store.earlier().empty());
  EXPECT_TRUE(store.earlier_subgraphs().empty());
}

TEST(RunStoreEarlier, RecordsCarryIdentityOriginPurposeAndTime) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  EXPECT_THAT(message_of<UserError>([&] { store.records(); }), HasSubstr("has measured no program yet"));
  put_programs(store, 3);
  store.put_value(RunStore::kTunedPrograms, "64.5");
  const auto records = store.records();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].identity, test_identity());
  EXPECT_EQ(records[0].origin.verb, "tune");
  EXPECT_EQ(records[0].origin.tuned_programs, 64.5);
  EXPECT_EQ(records[0].purpose, MeasurePurpose::fallback);
  EXPECT_EQ(records[1].purpose, MeasurePurpose::batch);
  EXPECT_EQ(records[1].program.measured_at, 1234.5);
  EXPECT_GT(records[0].program.measured_at, 1.7e9);  // the clock's
  EXPECT_EQ(records[2].program.arrival, 3);
  ASSERT_EQ(store.records(2).size(), 1u);
  EXPECT_EQ(store.records(2)[0].program.knobs_text, "k=2");
  EXPECT_TRUE(store.records(3).empty());
}

TEST(RunStoreEarlier, ARunKeepsItsIdAndNoOtherHasIt) {
  TemporaryFolder one, other;
  std::string id;
  {
    RunStore store(one.path(), kWrite);
    put_programs(store, 1);
    id = store.records()[0].origin.run;
  }
  EXPECT_EQ(RunStore(one.path(), kWrite).records()[0].origin.run, id);
  RunStore store(other.path(), kWrite);
  put_programs(store, 1);
  EXPECT_NE(store.records()[0].origin.run, id);
}

TEST(RunStoreEarlier, SchemaOneIsReadButNotContinued) {
  TemporaryFolder folder;
  {
    RunStore store(folder.path(), kWrite);
    put_programs(store, 2);
  }
  SQLite::Database(folder / "run.db", SQLite::OPEN_READWRITE)
      .exec(
          "DROP TABLE earlier; DROP TABLE earlier_subgraph; ALTER TABLE program DROP COLUMN measured_at; "
          "DELETE FROM value WHERE name = 'run_id'; PRAGMA user_version = 1");
  const RunStore store(folder.path(), kRead);
  ASSERT_EQ(store.programs().size(), 2u);
  EXPECT_EQ(store.programs()[1].knobs_text, "k=1");
  EXPECT_LT(store.programs()[1].measured_at, 0);
  EXPECT_TRUE(store.earlier().empty());
  EXPECT_TRUE(store.earlier_subgraphs().empty());
  EXPECT_THAT(message_of<UserError>([&] { store.records(); }), HasSubstr("was written by an older SONAR"));
  EXPECT_THAT(message_of<UserError>([&] { RunStore(folder.path(), kWrite); }),
              HasSubstr("has schema 1 of a SONAR run store, this SONAR writes 2 and only reads that one"));
}

}  // namespace
}  // namespace sonar
