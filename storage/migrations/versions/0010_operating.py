"""What operators need to know at night: logs of jobs, processes that live, who did what, and where jobs come from."""

from alembic import op

revision = "0010"
down_revision = "0009"

_STATEMENTS = """
ALTER TABLE jobs ADD COLUMN request_id text, ADD COLUMN trace text;
ALTER TABLE workers ADD COLUMN version text, ADD COLUMN metrics_url text;

CREATE TABLE processes (
  name text COLLATE "C" NOT NULL CONSTRAINT pk_processes PRIMARY KEY,
  role text NOT NULL,
  version text NOT NULL,
  metrics_url text,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_until timestamptz NOT NULL,
  detail jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE job_logs (
  tenant_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  level text NOT NULL,
  process text NOT NULL,
  step_id text COLLATE "C",
  attempt integer,
  event text NOT NULL,
  fields jsonb NOT NULL,
  CONSTRAINT pk_job_logs PRIMARY KEY (tenant_id, job_id, id),
  CONSTRAINT fk_job_logs_jobs FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE audit (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_audit_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  key_id text COLLATE "C" NOT NULL,
  via text NOT NULL,
  action text NOT NULL,
  target text,
  detail jsonb NOT NULL,
  request_id text,
  address text,
  CONSTRAINT pk_audit PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_audit_at ON audit (at);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
