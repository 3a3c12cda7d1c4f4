-- Version 1. Times are milliseconds since 1970 (wall clock). JSON columns hold sorted, compact JSON. This file documents
-- runner/store/migrations.c, which a test compares with it.
CREATE TABLE delivery (          -- the durable inbox: one row per accepted webhook, forever unique
  id           INTEGER PRIMARY KEY,
  repository   TEXT NOT NULL,
  provider     TEXT NOT NULL,
  delivery_id  TEXT NOT NULL,
  body_sha256  TEXT NOT NULL,
  event        TEXT NOT NULL,    -- "push", "pull_request", "tag", "ping"
  facts        TEXT NOT NULL,    -- JSON: kind, branch, tag, ref, commit, before, author, message, trusted
  received_ms  INTEGER NOT NULL,
  UNIQUE (repository, delivery_id), UNIQUE (repository, body_sha256)
) STRICT;
CREATE TABLE run (
  id           INTEGER PRIMARY KEY,           -- the number people see
  repository   TEXT NOT NULL,
  delivery_row INTEGER REFERENCES delivery (id),
  pipeline_file TEXT NOT NULL DEFAULT '.penstock.yml',
  name         TEXT NOT NULL DEFAULT '',
  facts        TEXT NOT NULL,                 -- JSON as in delivery.facts, plus inputs
  commit_sha   TEXT NOT NULL DEFAULT '',
  pipeline     TEXT,                          -- the YAML text, once fetched
  state        TEXT NOT NULL DEFAULT 'queued',-- queued, syncing, running, finished
  outcome      TEXT NOT NULL DEFAULT '',
  reason       TEXT NOT NULL DEFAULT '',      -- one line: why it ended like that
  source_dir   TEXT,                          -- local runs: the folder instead of a mirror
  rerun_of     INTEGER REFERENCES run (id),
  concurrency_group TEXT,
  created_ms   INTEGER NOT NULL, started_ms INTEGER, finished_ms INTEGER,
  cancel_by    TEXT                           -- who asked for it; a fact, acted upon by the engine
) STRICT;
CREATE INDEX run_by_state ON run (state);
CREATE TABLE stage (
  id           INTEGER PRIMARY KEY,
  run_id       INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
  idx          INTEGER NOT NULL,              -- index in the plan
  name         TEXT NOT NULL, kind TEXT NOT NULL,
  state        TEXT NOT NULL DEFAULT 'waiting', -- waiting, running, finished
  outcome      TEXT NOT NULL DEFAULT '',
  reason       TEXT NOT NULL DEFAULT '',
  outputs      TEXT,                          -- manifest digest of captured outputs
  result       TEXT,                          -- JSON result of a native stage
  image        TEXT,                          -- manifest digest of a built image
  started_ms   INTEGER, finished_ms INTEGER,
  user_failures INTEGER NOT NULL DEFAULT 0, infra_failures INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run_id, idx)
) STRICT;
CREATE TABLE attempt (
  id           INTEGER PRIMARY KEY,
  stage_id     INTEGER NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
  number       INTEGER NOT NULL,
  dir          TEXT NOT NULL,                 -- relative to state
  state        TEXT NOT NULL DEFAULT 'starting', -- starting, running, finished
  outcome      TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  started_ms   INTEGER NOT NULL, finished_ms INTEGER,
  UNIQUE (stage_id, number)
) STRICT;
CREATE TABLE event (             -- audit log and live stream; the order here is the truth
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms        INTEGER NOT NULL,
  kind         TEXT NOT NULL,    -- "run.created", "stage.finished", "rollout.step", "secret.set" ...
  subject      TEXT NOT NULL,    -- "run/12", "run/12/train", "rollout/3", "target/prod"
  run_id       INTEGER,
  actor        TEXT NOT NULL,    -- "penstock", "webhook:github", "uid:0(root)"
  data         TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX event_by_run ON event (run_id);
CREATE TABLE release (
  id           INTEGER PRIMARY KEY,
  run_id       INTEGER NOT NULL REFERENCES run (id),
  stage_id     INTEGER NOT NULL REFERENCES stage (id),
  repository   TEXT NOT NULL, version TEXT NOT NULL, image TEXT NOT NULL, commit_sha TEXT NOT NULL,
  port         INTEGER NOT NULL DEFAULT 0,
  created_ms   INTEGER NOT NULL,
  UNIQUE (run_id, stage_id)
) STRICT;
CREATE TABLE target (            -- what is live where
  name         TEXT PRIMARY KEY,
  live_release INTEGER REFERENCES release (id),
  previous_release INTEGER REFERENCES release (id),
  generation   INTEGER NOT NULL DEFAULT 0,
  spec         TEXT,             -- JSON rollout_spec of the live release: replicas, health
  changed_ms   INTEGER
) STRICT;
CREATE TABLE rollout (
  id           INTEGER PRIMARY KEY,
  target       TEXT NOT NULL REFERENCES target (name),
  stage_id     INTEGER REFERENCES stage (id),   -- the deploy stage that waits for it; NULL: started by hand
  candidate    INTEGER NOT NULL REFERENCES release (id),
  stable       INTEGER REFERENCES release (id),
  spec         TEXT NOT NULL, machine TEXT NOT NULL,  -- JSON: rollout_spec, struct rollout
  analysis     TEXT,                                  -- JSON: e-processes
  verdict      TEXT,                                  -- JSON: the latest, for people
  command      TEXT NOT NULL DEFAULT '', command_by TEXT NOT NULL DEFAULT '', -- asked for, not yet obeyed
  created_ms   INTEGER NOT NULL, finished_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX rollout_one_active ON rollout (target) WHERE finished_ms IS NULL;
CREATE TABLE observation (
  id           INTEGER PRIMARY KEY,
  rollout_id   INTEGER NOT NULL REFERENCES rollout (id) ON DELETE CASCADE,
  step         INTEGER NOT NULL,
  block        TEXT NOT NULL,    -- JSON of struct analysis_block
  at_ms        INTEGER NOT NULL
) STRICT;
CREATE INDEX observation_by_rollout ON observation (rollout_id);
CREATE TABLE secret (
  name         TEXT PRIMARY KEY, sealed BLOB NOT NULL, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL
) STRICT;
