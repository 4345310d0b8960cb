"""What a million finished jobs must not make slower: indexes of what is rejected, dead and running; vacuum in time."""

from alembic import op

revision = "0012"
down_revision = "0011"

# ix_jobs_rejected: dead letters are the failed steps but those of rejected jobs. These are few: looking them up in an
# index of their own costs a tenth of a look at the job of each failed step.
#
# fingerprint and error_code: an index cannot give back what is inside a document, so dead letters were grouped by rows,
# nearly each in a page of its own. The trigger fires for a step that fails for good, and for nothing else.
#
# ix_steps_leased was by lease_until, which every renewal changes: the new version of the row then needs an entry in
# each index of the table. By worker, a renewal changes no indexed column and stays in its page (HOT). What runs is
# bounded by the slots of the workers, so the reaper reads all of it.
#
# Autovacuum waits by default until a fifth of a table is dead: of 1.5 million steps that is the work of 100,000 jobs.
_STATEMENTS = """
CREATE INDEX ix_jobs_rejected ON jobs (tenant_id, id) WHERE stop_as = 'failed';

ALTER TABLE steps ADD COLUMN fingerprint text, ADD COLUMN error_code text;
UPDATE steps SET fingerprint = error ->> 'fingerprint', error_code = error ->> 'code' WHERE state = 'failed';
CREATE FUNCTION note_reason() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.fingerprint := NEW.error ->> 'fingerprint';
  NEW.error_code := NEW.error ->> 'code';
  RETURN NEW;
END $$;
CREATE TRIGGER note_reason BEFORE INSERT OR UPDATE OF state, error ON steps FOR EACH ROW
  WHEN (NEW.state = 'failed') EXECUTE FUNCTION note_reason();

DROP INDEX ix_steps_dead;
CREATE INDEX ix_steps_dead ON steps (tenant_id, kind, finished_at) INCLUDE (job_id, fingerprint, error_code)
  WHERE state = 'failed';

DROP INDEX ix_steps_leased;
CREATE INDEX ix_steps_leased ON steps (worker) WHERE state = 'running';

ALTER TABLE jobs SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05,
                      autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE steps SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05,
                       autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.02);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
