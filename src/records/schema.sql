-- The run store, schema 2. Every table and column is explained in docs/formats.md.
-- Times named *_s are seconds, *_us microseconds; accuracies are fractions 0..1.
-- A REAL that is not a number (NaN) is stored as NULL; an infinite latency as Inf, so that it sorts last.

PRAGMA application_id = 0x534E4152;  -- "SNAR"
PRAGMA user_version = 2;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', '2');

CREATE TABLE configuration (
  position INTEGER PRIMARY KEY,
  key      TEXT NOT NULL UNIQUE,
  value    TEXT NOT NULL
);

CREATE TABLE identity (
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  target        TEXT NOT NULL,
  device        TEXT NOT NULL,
  compiler      TEXT NOT NULL,
  program_space INTEGER NOT NULL,
  protocol      INTEGER NOT NULL,
  threads       INTEGER NOT NULL
);

CREATE TABLE network (
  position              INTEGER PRIMARY KEY,
  name                  TEXT NOT NULL UNIQUE,
  macs                  REAL,
  parameters            REAL,
  peak_activation_bytes REAL
);

CREATE TABLE network_subgraph (
  network     TEXT NOT NULL REFERENCES network(name),
  position    INTEGER NOT NULL,
  subgraph    TEXT NOT NULL,
  occurrences INTEGER NOT NULL,
  PRIMARY KEY (network, position)
) WITHOUT ROWID;

CREATE TABLE round (
  round       INTEGER PRIMARY KEY,
  programs    REAL,
  train_share REAL,
  tune_share  REAL,
  started_s   REAL,
  ended_s     REAL      -- NULL: not ended
);

CREATE TABLE round_network (
  round    INTEGER NOT NULL REFERENCES round(round),
  position INTEGER NOT NULL,
  network  TEXT NOT NULL,
  to_step  INTEGER,     -- NULL: no target was set
  PRIMARY KEY (round, position)
) WITHOUT ROWID;

CREATE TABLE decision (
  round      INTEGER NOT NULL REFERENCES round(round),
  position   INTEGER NOT NULL,
  network    TEXT NOT NULL,
  accuracy   REAL,
  latency_us REAL,
  rank       INTEGER NOT NULL,
  kept       INTEGER NOT NULL,
  reason     TEXT NOT NULL,
  PRIMARY KEY (round, position)
) WITHOUT ROWID;

CREATE TABLE train_point (
  arrival      INTEGER PRIMARY KEY,
  network      TEXT NOT NULL,
  step         INTEGER NOT NULL,
  val_accuracy REAL,
  train_loss   REAL,
  seconds      REAL,
  val_images   INTEGER NOT NULL,
  round        INTEGER NOT NULL,
  elapsed_s    REAL,
  UNIQUE (network, step)
);

CREATE TABLE measure_job (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  round     INTEGER NOT NULL,
  subgraph  TEXT NOT NULL,
  purpose   INTEGER NOT NULL, -- 1 default program, 2 batch, 3 measured again
  requested INTEGER NOT NULL, -- programs asked of the tuner
  programs  TEXT NOT NULL,    -- JSON: [[knob, ...], ...]
  finished  INTEGER NOT NULL
);

CREATE TABLE program (
  arrival       INTEGER PRIMARY KEY,
  job           INTEGER NOT NULL REFERENCES measure_job(id),
  position      INTEGER NOT NULL,
  subgraph      TEXT NOT NULL,
  knobs         TEXT NOT NULL,     -- JSON: [knob, ...]
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
  elapsed_s     REAL,
  measured_at   REAL,              -- seconds since 1970, UTC
  UNIQUE (job, position)
);

-- What the record library held when the run began; never changed afterwards.
CREATE TABLE earlier (
  position        INTEGER PRIMARY KEY,
  subgraph        TEXT NOT NULL,
  knobs_text      TEXT NOT NULL,
  latency_us      REAL,              -- NULL: it failed
  default_program INTEGER NOT NULL,  -- the subgraph's default program
  outcome         INTEGER NOT NULL   -- as of program
);

CREATE TABLE earlier_subgraph (
  subgraph TEXT PRIMARY KEY,
  programs INTEGER NOT NULL,  -- different programs tried before, all in the library
  answered INTEGER NOT NULL   -- its answer is the best of them: nothing more is tried
) WITHOUT ROWID;

CREATE TABLE result (
  position          INTEGER PRIMARY KEY,
  network           TEXT NOT NULL UNIQUE,
  accuracy          REAL,
  latency_us        REAL,
  on_front          INTEGER NOT NULL,
  test_accuracy     REAL,  -- NULL: not evaluated
  end_to_end_us     REAL,  -- NULL: not measured
  end_to_end_spread REAL
);

CREATE TABLE usage (
  arrival   INTEGER PRIMARY KEY,
  side      INTEGER NOT NULL,  -- 1 train, 2 tune
  core      INTEGER NOT NULL,
  started_s REAL,
  ended_s   REAL,
  what      TEXT NOT NULL
);

CREATE TABLE event (
  arrival   INTEGER PRIMARY KEY,
  elapsed_s REAL,
  kind      TEXT NOT NULL,
  text      TEXT NOT NULL
);

CREATE TABLE value (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
