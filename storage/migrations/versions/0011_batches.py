"""Batches: many jobs that were sent in one request, and what became of each line of it."""

from alembic import op

revision = "0011"
down_revision = "0010"

# How far a batch has come is asked of its jobs, by an index that has their states: no row of the batch is written when
# a job ends, so the ends of its jobs do not wait for each other. A job without a batch is in no index of these.
_STATEMENTS = """
CREATE TABLE batches (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_batches_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  metadata jsonb NOT NULL,
  notify jsonb,
  accepted integer NOT NULL,
  existing integer NOT NULL,
  refused integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  canceled_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT pk_batches PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_batches_open ON batches (created_at) WHERE finished_at IS NULL;
CREATE INDEX ix_batches_finished ON batches (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE batch_errors (
  tenant_id text COLLATE "C" NOT NULL,
  batch_id text COLLATE "C" NOT NULL,
  line integer NOT NULL,
  code text NOT NULL,
  detail text NOT NULL,
  flaws jsonb NOT NULL,
  job_id text COLLATE "C",
  CONSTRAINT pk_batch_errors PRIMARY KEY (tenant_id, batch_id, line),
  CONSTRAINT fk_batch_errors_batches FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id)
    ON DELETE CASCADE
);

ALTER TABLE jobs ADD COLUMN batch_id text COLLATE "C", ADD COLUMN batch_line integer;
CREATE INDEX ix_jobs_of_batch ON jobs (tenant_id, batch_id, state, id) WHERE batch_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
