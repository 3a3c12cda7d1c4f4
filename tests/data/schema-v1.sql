-- A database of schema version 1 with a few rows, for the migration test. Never edited: a new version gets a new file.
CREATE TABLE delivery (
  id INTEGER PRIMARY KEY,
  repository TEXT NOT NULL,
  provider TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  event TEXT NOT NULL,
  facts TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  UNIQUE (repository, delivery_id), UNIQUE (repository, body_sha256)
) STRICT;
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  repository TEXT NOT NULL,
  delivery_row INTEGER REFERENCES delivery (id),
  pipeline_file TEXT NOT NULL DEFAULT '.penstock.yml',
  name TEXT NOT NULL DEFAULT '',
  facts TEXT NOT NULL,
  commit_sha TEXT NOT NULL DEFAULT '',
  pipeline TEXT,
  state TEXT NOT NULL DEFAULT 'queued',
  outcome TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  source_dir TEXT,
  rerun_of INTEGER REFERENCES run (id),
  concurrency_group TEXT,
  created_ms INTEGER NOT NULL, started_ms INTEGER, finished_ms INTEGER,
  cancel_by TEXT
) STRICT;
CREATE INDEX run_by_state ON run (state);
CREATE TABLE stage (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL,
  name TEXT NOT NULL, kind TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  outcome TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  outputs TEXT,
  result TEXT,
  image TEXT,
  started_ms INTEGER, finished_ms INTEGER,
  user_failures INTEGER NOT NULL DEFAULT 0, infra_failures INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run_id, idx)
) STRICT;
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  stage_id INTEGER NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  dir TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'starting',
  outcome TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  started_ms INTEGER NOT NULL, finished_ms INTEGER,
  UNIQUE (stage_id, number)
) STRICT;
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  run_id INTEGER,
  actor TEXT NOT NULL,
  data TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX event_by_run ON event (run_id);
CREATE TABLE release (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES run (id),
  stage_id INTEGER NOT NULL REFERENCES stage (id),
  repository TEXT NOT NULL, version TEXT NOT NULL, image TEXT NOT NULL, commit_sha TEXT NOT NULL,
  port INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  UNIQUE (run_id, stage_id)
) STRICT;
CREATE TABLE target (
  name TEXT PRIMARY KEY,
  live_release INTEGER REFERENCES release (id),
  previous_release INTEGER REFERENCES release (id),
  generation INTEGER NOT NULL DEFAULT 0,
  spec TEXT,
  changed_ms INTEGER
) STRICT;
CREATE TABLE rollout (
  id INTEGER PRIMARY KEY,
  target TEXT NOT NULL REFERENCES target (name),
  stage_id INTEGER REFERENCES stage (id),
  candidate INTEGER NOT NULL REFERENCES release (id),
  stable INTEGER REFERENCES release (id),
  spec TEXT NOT NULL, machine TEXT NOT NULL,
  analysis TEXT,
  verdict TEXT,
  command TEXT NOT NULL DEFAULT '', command_by TEXT NOT NULL DEFAULT '',
  created_ms INTEGER NOT NULL, finished_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX rollout_one_active ON rollout (target) WHERE finished_ms IS NULL;
CREATE TABLE observation (
  id INTEGER PRIMARY KEY,
  rollout_id INTEGER NOT NULL REFERENCES rollout (id) ON DELETE CASCADE,
  step INTEGER NOT NULL,
  block TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX observation_by_rollout ON observation (rollout_id);
CREATE TABLE secret (
  name TEXT PRIMARY KEY, sealed BLOB NOT NULL, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL
) STRICT;

INSERT INTO delivery VALUES (1, 'fraud', 'github', 'd-1', 'aa', 'push', '{"kind":"push","branch":"main"}', 1700000000000);
INSERT INTO run (id, repository, delivery_row, facts, state, outcome, created_ms) VALUES (1, 'fraud', 1, '{}', 'finished', 'success', 1700000000001);
INSERT INTO run (id, repository, facts, created_ms) VALUES (2, 'fraud', '{}', 1700000000002);
INSERT INTO stage (id, run_id, idx, name, kind, state, outcome) VALUES (1, 1, 0, 'image', 'build', 'finished', 'success');
INSERT INTO release VALUES (1, 1, 1, 'fraud', '2026.11.23-1', 'sha256:00', 'abc', 8080, 1700000000003);
INSERT INTO target (name, live_release) VALUES ('prod', 1);
PRAGMA user_version = 1;
