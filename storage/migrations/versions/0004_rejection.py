"""Jobs that a condition on a step's result ends as failed; steps that wait for others without using their files."""

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = """
ALTER TABLE jobs DROP CONSTRAINT ck_jobs_stop_as, ADD CONSTRAINT ck_jobs_stop_as CHECK (stop_as IN
  ('canceled', 'expired', 'failed'));
ALTER TABLE steps ADD COLUMN stop_when jsonb, ADD COLUMN file_from text;
UPDATE steps SET file_from = uses[1] WHERE cardinality(uses) = 1;  -- until now no other step could work on a file
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
