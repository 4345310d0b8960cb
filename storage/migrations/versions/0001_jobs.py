"""Tenants, keys, jobs, steps, attempts, events and idempotency keys."""

from alembic import op

revision = "0001"
down_revision = None

# Written as SQL on purpose: a migration says what the server is told, and does not change when storage/tables.py does.
_STATEMENTS = """
CREATE TABLE tenants (
  id text COLLATE "C" CONSTRAINT pk_tenants PRIMARY KEY,
  name text NOT NULL CONSTRAINT uq_tenants_name UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id text COLLATE "C" CONSTRAINT pk_api_keys PRIMARY KEY,
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_api_keys_tenants REFERENCES tenants (id),
  hash bytea NOT NULL CONSTRAINT uq_api_keys_hash UNIQUE,
  hint text NOT NULL,
  scopes text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id);

CREATE TABLE jobs (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_jobs_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  state text NOT NULL CONSTRAINT ck_jobs_state CHECK (state IN
    ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'canceled', 'expired')),
  priority smallint NOT NULL,
  input jsonb,
  metadata jsonb NOT NULL,
  error jsonb,
  steps_total integer NOT NULL,
  steps_open integer NOT NULL,
  steps_unmet integer NOT NULL DEFAULT 0,
  event_seq integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT pk_jobs PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80);
CREATE INDEX ix_jobs_tenant_id_state_id ON jobs (tenant_id, state, id);

CREATE TABLE steps (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  position smallint NOT NULL,
  name text NOT NULL,
  kind text NOT NULL,
  queue text NOT NULL,
  priority smallint NOT NULL,
  params jsonb NOT NULL,
  uses text[] NOT NULL,
  waiting_on integer NOT NULL,
  state text NOT NULL CONSTRAINT ck_steps_state CHECK (state IN
    ('waiting', 'scheduled', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'canceled', 'expired')),
  attempt integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL,
  progress double precision NOT NULL DEFAULT 0,
  result jsonb,
  error jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  run_at timestamptz NOT NULL DEFAULT now(),
  published_at timestamptz,
  started_at timestamptz,
  lease_until timestamptz,
  worker text,
  finished_at timestamptz,
  CONSTRAINT pk_steps PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_steps_jobs FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX ix_steps_tenant_id_job_id_position ON steps (tenant_id, job_id, position);
CREATE INDEX ix_steps_to_publish ON steps (priority, run_at) WHERE state = 'queued' AND published_at IS NULL;
CREATE INDEX ix_steps_due ON steps (run_at) WHERE state IN ('scheduled', 'retrying');
CREATE INDEX ix_steps_published ON steps (queue, published_at) WHERE state = 'queued' AND published_at IS NOT NULL;
CREATE INDEX ix_steps_leased ON steps (lease_until) WHERE state = 'running';

CREATE TABLE attempts (
  tenant_id text COLLATE "C" NOT NULL,
  step_id text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  outcome text NOT NULL CONSTRAINT ck_attempts_outcome CHECK (outcome IN ('succeeded', 'failed', 'retried', 'lost')),
  worker text,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT now(),
  error jsonb,
  CONSTRAINT pk_attempts PRIMARY KEY (tenant_id, step_id, number),
  CONSTRAINT fk_attempts_steps FOREIGN KEY (tenant_id, step_id) REFERENCES steps (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE events (
  tenant_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  seq integer NOT NULL,
  type text NOT NULL,
  data jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_events PRIMARY KEY (tenant_id, job_id, seq),
  CONSTRAINT fk_events_jobs FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE idempotency (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_idempotency_tenants REFERENCES tenants (id),
  key text NOT NULL,
  fingerprint bytea,
  answer jsonb,
  token text,
  locked_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_idempotency PRIMARY KEY (tenant_id, key)
);
CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
