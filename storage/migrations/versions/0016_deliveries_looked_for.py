"""Nobody looks for the receivers of events that no webhook is told of."""

from alembic import op

revision = "0016"
down_revision = "0015"

# Of the five events of the smallest job two may be told of. The others come with the statements that submit and claim,
# where a look for who wants them took a tenth of the time.
_STATEMENTS = """
CREATE OR REPLACE FUNCTION write_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told bigint;
BEGIN
  IF NOT EXISTS (
    SELECT FROM added WHERE type IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.expired', 'step.succeeded')
  ) THEN
    RETURN NULL;
  END IF;
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
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
