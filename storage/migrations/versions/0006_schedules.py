"""Schedules, what became of each of their firings, and the journal of ends of the jobs that they started."""

from alembic import op

revision = "0006"
down_revision = "0005"

# due_at moves with every firing, at the low end of its index: vacuum comes round long before a fifth has changed.
#
# Whoever ends a job must not wait for the schedule's row, which a firing loop may hold: it writes the end down as a row
# of its own, and the loop reads it.
_STATEMENTS = """
CREATE TABLE schedules (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_schedules_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  name text,
  document jsonb NOT NULL,
  version integer NOT NULL DEFAULT 1,
  source text,
  starts jsonb NOT NULL,
  next_at timestamptz,
  due_at timestamptz,
  latest_due timestamptz,
  runs integer NOT NULL DEFAULT 0,
  paused_at timestamptz,
  paused_reason text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_schedules PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX uq_schedules_tenant_id_name ON schedules (tenant_id, name);
CREATE INDEX ix_schedules_due ON schedules (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE firings (
  tenant_id text COLLATE "C" NOT NULL,
  schedule_id text COLLATE "C" NOT NULL,
  nominal_at timestamptz NOT NULL,
  until_at timestamptz,
  origin text NOT NULL CONSTRAINT ck_firings_origin CHECK (origin IN ('schedule', 'trigger', 'backfill')),
  outcome text NOT NULL
    CONSTRAINT ck_firings_outcome CHECK (outcome IN ('started', 'buffered', 'skipped', 'missed', 'failed')),
  reason text,
  job_id text COLLATE "C",
  late_seconds double precision,
  overlap text,
  fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pk_firings PRIMARY KEY (tenant_id, schedule_id, nominal_at),
  CONSTRAINT fk_firings_schedules FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedules (tenant_id, id)
    ON DELETE CASCADE
);
CREATE INDEX ix_firings_buffered ON firings (tenant_id, schedule_id, nominal_at) WHERE outcome = 'buffered';
CREATE INDEX ix_firings_fired_at ON firings (fired_at);

CREATE TABLE firing_ends (
  tenant_id text COLLATE "C" NOT NULL,
  schedule_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  state text NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, vacuum_truncate = off);
ALTER TABLE firing_ends REPLICA IDENTITY FULL;

CREATE TABLE firing_counts (
  slot smallint NOT NULL,
  outcome text NOT NULL,
  bucket smallint NOT NULL,
  firings bigint NOT NULL,
  seconds double precision NOT NULL,
  CONSTRAINT pk_firing_counts PRIMARY KEY (slot, outcome, bucket)
) WITH (fillfactor = 50);

ALTER TABLE jobs ADD COLUMN schedule_id text COLLATE "C", ADD COLUMN fire_time timestamptz;
CREATE INDEX ix_jobs_of_schedule ON jobs (tenant_id, schedule_id, id)
  WHERE schedule_id IS NOT NULL AND finished_at IS NULL;

CREATE FUNCTION note_end_of_fired_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO firing_ends VALUES (NEW.tenant_id, NEW.schedule_id, NEW.id, NEW.state);
  PERFORM pg_notify('millrace_schedules', '');
  RETURN NULL;
END $$;

CREATE TRIGGER note_end_of_fired AFTER UPDATE OF finished_at ON jobs FOR EACH ROW
  WHEN (NEW.schedule_id IS NOT NULL AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL)
  EXECUTE FUNCTION note_end_of_fired_job();
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
