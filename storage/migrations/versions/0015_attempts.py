"""Attempts have no foreign key to their steps any more."""

from alembic import op

revision = "0015"
down_revision = "0014"

# Each check of it locked the step's row once more, a fifth of what the end of the smallest step cost the database. No
# attempt can be without a step all the same: it is written by the statement that ends the step's attempt. They go with
# their step by the trigger, as events do with their job.
_STATEMENTS = """
ALTER TABLE attempts DROP CONSTRAINT fk_attempts_steps;
CREATE FUNCTION forget_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM attempts USING gone WHERE attempts.tenant_id = gone.tenant_id AND attempts.step_id = gone.id;
  RETURN NULL;
END $$;
CREATE TRIGGER forget_attempts AFTER DELETE ON steps REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
  EXECUTE FUNCTION forget_attempts();
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
