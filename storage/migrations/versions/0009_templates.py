"""Tenants' own templates, and which template the steps of a job come from."""

from alembic import op

revision = "0009"
down_revision = "0008"

_STATEMENTS = """
CREATE TABLE templates (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_templates_tenants REFERENCES tenants (id),
  name text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  description text NOT NULL,
  steps json NOT NULL,
  overrides json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  CONSTRAINT pk_templates PRIMARY KEY (tenant_id, name, version)
);

ALTER TABLE jobs ADD COLUMN template text;
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
