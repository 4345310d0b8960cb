"""Exact numbers of every queue at a flat cost, the workers that live, and what the scaler decides."""

from alembic import op

revision = "0003"
down_revision = "0002"

# What was there before is counted after this migration, without a lock on steps: see storage.migrate.
#
# A change of a step's state is written down in the same transaction, as a row of its own: no two transactions wait for
# each other, and whoever adds the journal to the counters sees exactly what the steps say. A loop folds it.
_STATEMENTS = """
CREATE TABLE step_changes (
  queue text NOT NULL,
  priority smallint NOT NULL,
  was text,
  became text,
  at timestamptz NOT NULL,
  seconds double precision
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, vacuum_truncate = off);
ALTER TABLE step_changes REPLICA IDENTITY FULL;

CREATE TABLE step_counts (
  queue text NOT NULL,
  priority smallint NOT NULL,
  waiting bigint NOT NULL,
  scheduled bigint NOT NULL,
  queued bigint NOT NULL,
  running bigint NOT NULL,
  retrying bigint NOT NULL,
  CONSTRAINT pk_step_counts PRIMARY KEY (queue, priority)
) WITH (fillfactor = 50);

CREATE TABLE step_flow (
  queue text NOT NULL,
  priority smallint NOT NULL,
  at timestamptz NOT NULL,
  arrived bigint NOT NULL,
  ended bigint NOT NULL,
  CONSTRAINT pk_step_flow PRIMARY KEY (at, queue, priority)
);

CREATE TABLE service_times (
  queue text NOT NULL,
  priority smallint NOT NULL,
  at timestamptz NOT NULL,
  bucket integer NOT NULL,
  attempts bigint NOT NULL,
  seconds double precision NOT NULL,
  squares double precision NOT NULL,
  CONSTRAINT pk_service_times PRIMARY KEY (at, queue, priority, bucket)
);

CREATE FUNCTION note_step_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO step_changes VALUES (NEW.queue, NEW.priority, NULL, NEW.state, clock_timestamp(), NULL);
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO step_changes VALUES (NEW.queue, NEW.priority, OLD.state, NEW.state, clock_timestamp(),
      CASE WHEN OLD.state = 'running' AND NEW.state <> 'queued'
           THEN extract(epoch FROM clock_timestamp() - OLD.started_at) END);
  ELSE
    INSERT INTO step_changes VALUES (OLD.queue, OLD.priority, OLD.state, NULL, clock_timestamp(), NULL);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER note_insert AFTER INSERT ON steps FOR EACH ROW EXECUTE FUNCTION note_step_change();
CREATE TRIGGER note_update AFTER UPDATE OF state ON steps FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION note_step_change();
CREATE TRIGGER note_delete AFTER DELETE ON steps FOR EACH ROW
  WHEN (OLD.state IN ('waiting', 'scheduled', 'queued', 'running', 'retrying')) EXECUTE FUNCTION note_step_change();

CREATE TABLE workers (
  name text COLLATE "C" CONSTRAINT pk_workers PRIMARY KEY,
  replica text NOT NULL,
  queues text[] NOT NULL,
  slots integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_until timestamptz NOT NULL,
  stopping boolean NOT NULL DEFAULT false
);

CREATE TABLE pools (
  name text CONSTRAINT pk_pools PRIMARY KEY,
  replicas integer NOT NULL,
  wanted integer NOT NULL,
  least integer NOT NULL,
  most integer NOT NULL,
  reason text NOT NULL,
  inputs jsonb NOT NULL,
  dry_run boolean NOT NULL,
  memory jsonb NOT NULL,
  decided_at timestamptz NOT NULL
);

CREATE TABLE scale_decisions (
  id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_scale_decisions PRIMARY KEY,
  pool text NOT NULL,
  at timestamptz NOT NULL,
  replicas integer NOT NULL,
  wanted integer NOT NULL,
  reason text NOT NULL,
  inputs jsonb NOT NULL,
  dry_run boolean NOT NULL
);
CREATE INDEX ix_scale_decisions_pool_id ON scale_decisions (pool, id);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
