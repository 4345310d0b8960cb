"""Losses and failures apart, deadlines and cancellation, paused queues, unique keys, retention, removals of objects."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = """
ALTER TABLE tenants ADD COLUMN retention jsonb NOT NULL DEFAULT '{}';

ALTER TABLE jobs
  ADD COLUMN deadline_seconds double precision,
  ADD COLUMN deadline_at timestamptz,
  ADD COLUMN unique_key jsonb,
  ADD COLUMN stop_as text CONSTRAINT ck_jobs_stop_as CHECK (stop_as IN ('canceled', 'expired')),
  ADD COLUMN stop_at timestamptz;
CREATE INDEX ix_jobs_deadline ON jobs (deadline_at)
  WHERE deadline_at IS NOT NULL AND finished_at IS NULL AND stop_as IS NULL;
CREATE INDEX ix_jobs_finished ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE steps
  ADD COLUMN failures integer NOT NULL DEFAULT 0,
  ADD COLUMN losses integer NOT NULL DEFAULT 0,
  ADD COLUMN max_losses integer NOT NULL DEFAULT 3,
  ADD COLUMN first_started_at timestamptz,
  ADD COLUMN slot integer;
UPDATE steps SET first_started_at = started_at, failures = attempt
WHERE attempt > 0 AND state NOT IN ('succeeded', 'failed', 'canceled');
DROP INDEX ix_steps_to_publish;
CREATE INDEX ix_steps_to_publish ON steps (queue, priority, run_at) WHERE state = 'queued' AND published_at IS NULL;
CREATE INDEX ix_steps_dead ON steps (tenant_id, kind, finished_at) WHERE state = 'failed';

ALTER TABLE attempts DROP CONSTRAINT ck_attempts_outcome, ADD CONSTRAINT ck_attempts_outcome CHECK (outcome IN
  ('succeeded', 'failed', 'retried', 'lost', 'returned', 'canceled'));

UPDATE idempotency SET answer = jsonb_build_object('status', 202, 'document', answer) WHERE answer IS NOT NULL;

CREATE TABLE queues (
  name text CONSTRAINT pk_queues PRIMARY KEY,
  paused_at timestamptz
);

CREATE TABLE unique_keys (
  tenant_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_unique_keys PRIMARY KEY (tenant_id, key)
);
CREATE INDEX ix_unique_keys_created_at ON unique_keys (created_at);
CREATE INDEX ix_unique_keys_tenant_id_job_id ON unique_keys (tenant_id, job_id);

CREATE TABLE removals (
  tenant_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  outputs_only boolean NOT NULL,
  due_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_removals PRIMARY KEY (tenant_id, job_id, outputs_only)
);
CREATE INDEX ix_removals_due_at ON removals (due_at);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
