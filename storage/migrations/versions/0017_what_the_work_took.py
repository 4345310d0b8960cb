"""A step that ended says itself when: one of a group waited for the others before its end was written."""

from alembic import op

revision = "0017"
down_revision = "0016"

_STATEMENTS = """
CREATE OR REPLACE FUNCTION note_step_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO step_changes VALUES (NEW.queue, NEW.priority, NULL, NEW.state, clock_timestamp(), NULL);
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO step_changes VALUES (NEW.queue, NEW.priority, OLD.state, NEW.state, clock_timestamp(),
      CASE WHEN OLD.state = 'running' AND NEW.state <> 'queued'
           THEN extract(epoch FROM COALESCE(NEW.finished_at, clock_timestamp()) - NEW.started_at) END);
  ELSE
    INSERT INTO step_changes VALUES (OLD.queue, OLD.priority, OLD.state, NULL, clock_timestamp(), NULL);
  END IF;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
