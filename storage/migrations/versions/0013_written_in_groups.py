"""What is written in groups costs its statement once: webhooks by statement, and no look at each event's job."""

from alembic import op

revision = "0013"
down_revision = "0012"

# write_deliveries: one question for all events of a statement, where there was one for each of them.
#
# Events have no foreign key to their jobs any more: each check of it locks and looks up the job's row, five times in
# the life of the smallest job. No event can be without a job all the same: it takes its number from the job's row, in
# the statement that writes it. They go with their job by the trigger.
_STATEMENTS = """
DROP TRIGGER write_deliveries ON events;
CREATE OR REPLACE FUNCTION write_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told bigint;
BEGIN
  WITH written AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, url, lane, type, message_id, job_id, data, happened_at)
    SELECT e.tenant_id, new_typeid('dlv'), target.id, target.url, target.lane, e.type,
           'msg_' || substr(e.job_id, 5) || '_' || e.seq, e.job_id, e.data, e.at
    FROM added e CROSS JOIN LATERAL (
      SELECT id, NULL::text AS url, id AS lane FROM (
        SELECT w.id FROM webhook_endpoints w
        WHERE w.tenant_id = e.tenant_id AND w.disabled_at IS NULL AND e.type = ANY (w.types)
          AND (w.listening_until IS NULL OR w.listening_until > now())
        FOR KEY SHARE
      ) AS wanting
      UNION ALL
      SELECT NULL, j.notify ->> 'url', e.tenant_id || ' ' || left(md5(j.notify ->> 'host'), 3) FROM jobs j
      WHERE j.tenant_id = e.tenant_id AND j.id = e.job_id AND j.notify -> 'events' ? e.type
    ) AS target
    WHERE e.type IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.expired', 'step.succeeded')
    ORDER BY e.tenant_id, e.job_id, e.seq
    RETURNING tenant_id
  )
  SELECT count(pg_notify('millrace_webhooks', tenant_id)) INTO told
  FROM (SELECT DISTINCT tenant_id FROM written) AS theirs;
  RETURN NULL;
END $$;
CREATE TRIGGER write_deliveries AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION write_deliveries();

ALTER TABLE events DROP CONSTRAINT fk_events_jobs;
CREATE FUNCTION forget_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM events USING gone WHERE events.tenant_id = gone.tenant_id AND events.job_id = gone.id;
  RETURN NULL;
END $$;
CREATE TRIGGER forget_events AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
  EXECUTE FUNCTION forget_events();
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
