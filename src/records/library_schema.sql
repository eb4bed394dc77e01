-- The record library, schema 1. Every table and column is explained in docs/formats.md.

PRAGMA application_id = 0x534E4C42;  -- "SNLB"
PRAGMA user_version = 1;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', '1');

CREATE TABLE identity (
  id            INTEGER PRIMARY KEY,
  target        TEXT NOT NULL,
  device        TEXT NOT NULL,
  compiler      TEXT NOT NULL,
  program_space INTEGER NOT NULL,
  protocol      INTEGER NOT NULL,
  threads       INTEGER NOT NULL,
  UNIQUE (target, device, compiler, program_space, protocol, threads)
);

CREATE TABLE run (
  id             INTEGER PRIMARY KEY,
  name           TEXT NOT NULL UNIQUE,  -- chosen at random by the run
  verb           TEXT NOT NULL,         -- search, tune
  tuned_programs REAL                   -- per subgraph, once a tune has finished
);

CREATE TABLE record (
  arrival       INTEGER PRIMARY KEY,
  identity      INTEGER NOT NULL REFERENCES identity(id),
  run           INTEGER NOT NULL REFERENCES run(id),
  run_arrival   INTEGER NOT NULL,  -- of the program in the run's store
  measured_at   REAL NOT NULL,     -- seconds since 1970, UTC
  purpose       INTEGER NOT NULL,  -- 1 default program, 2 batch, 3 measured again
  subgraph      TEXT NOT NULL,
  knobs_text    TEXT NOT NULL,
  outcome       INTEGER NOT NULL,  -- 0 measured; else the MeasureErrorKind
  message       TEXT,              -- of the failure; NULL when measured
  samples_us    TEXT,              -- JSON: [sample, ...]; NULL when failed, like all to stopped_early
  median_us     REAL,
  minimum_us    REAL,
  spread        REAL,
  runs          INTEGER,
  stopped_early INTEGER,
  compile_s     REAL,
  UNIQUE (run, run_arrival, measured_at)
);
-- All that choosing among the programs of a subgraph reads.
CREATE INDEX record_of_subgraph ON record (identity, subgraph, knobs_text, measured_at, outcome, median_us);
