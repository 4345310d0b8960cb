"""Whoever remembers whom keys belong to is told when that changes."""

from alembic import op

revision = "0014"
down_revision = "0013"

_STATEMENTS = """
CREATE FUNCTION tell_of_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('millrace_keys', '');
  RETURN NULL;
END $$;
CREATE TRIGGER tell_of_keys AFTER UPDATE OR DELETE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION tell_of_keys();
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
