"""Secrets, webhook endpoints and their deliveries; jobs that tell of their end, steps that are held back."""

from alembic import op

revision = "0007"
down_revision = "0006"

# A delivery is written by a trigger on events, so in the very transaction that makes the event true, whoever writes it.
# It locks the endpoint's key: one that is deleted at this moment must not fail what the event tells of. The lane of a
# `notify` is one of 4096 that a tenant has, by its host: the loop looks into every lane, and indexes take no long key.
#
# new_typeid makes what the package typeid makes: a UUIDv7 (RFC 9562) in Crockford's base 32, with a prefix. Behind the
# milliseconds stand their fractions (section 6.2, method 3), so that ids of one transaction sort by their time.
_STATEMENTS = """
CREATE FUNCTION new_typeid(prefix text) RETURNS text LANGUAGE sql VOLATILE AS $$
  WITH random AS (
    SELECT ('x' || replace(gen_random_uuid()::text, '-', ''))::bit(128) AS bits
  ), now AS (
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS microseconds
  ), uuid AS (
    SELECT overlay(bits
      PLACING (microseconds / 1000)::bit(48) || B'0111' || (microseconds % 1000 * 4096 / 1000)::int::bit(12)
      FROM 1) AS bits
    FROM random, now
  )
  SELECT prefix || '_' || string_agg(
    substr('0123456789abcdefghjkmnpqrstvwxyz', substring((B'00' || bits) FROM 5 * n + 1 FOR 5)::int + 1, 1), ''
    ORDER BY n
  )
  FROM uuid, generate_series(0, 25) AS n
$$;

CREATE TABLE secrets (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_secrets_tenants REFERENCES tenants (id),
  name text COLLATE "C" NOT NULL,
  sealed bytea NOT NULL,
  key_id text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_secrets PRIMARY KEY (tenant_id, name)
);

CREATE TABLE webhook_endpoints (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_webhook_endpoints_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  url text,
  description text NOT NULL DEFAULT '',
  types text[] NOT NULL,
  ed25519 boolean NOT NULL DEFAULT false,
  sealed bytea,
  key_id text,
  disabled_at timestamptz,
  disabled_reason text,
  failing_since timestamptz,
  delivered_at timestamptz,
  listening_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_webhook_endpoints PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_webhook_endpoints_listening ON webhook_endpoints (listening_until) WHERE listening_until IS NOT NULL;

CREATE TABLE deliveries (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_deliveries_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C",
  url text,
  lane text COLLATE "C" NOT NULL,
  type text NOT NULL,
  message_id text NOT NULL,
  job_id text COLLATE "C",
  data jsonb NOT NULL DEFAULT '{}',
  happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state text NOT NULL DEFAULT 'pending'
    CONSTRAINT ck_deliveries_state CHECK (state IN ('pending', 'delivered', 'failed', 'canceled')),
  next_at timestamptz DEFAULT clock_timestamp(),
  claim integer NOT NULL DEFAULT 0,
  tries integer NOT NULL DEFAULT 0,
  log jsonb NOT NULL DEFAULT '[]',
  body text,
  ended_at timestamptz,
  CONSTRAINT pk_deliveries PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_deliveries_webhook_endpoints FOREIGN KEY (tenant_id, endpoint_id)
    REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX ix_deliveries_pending ON deliveries (lane, next_at) WHERE state = 'pending';
CREATE INDEX ix_deliveries_of_endpoint ON deliveries (tenant_id, endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX ix_deliveries_not_taken ON deliveries (tenant_id, endpoint_id, state, id)
  WHERE state IN ('failed', 'canceled');
CREATE INDEX ix_deliveries_of_job ON deliveries (tenant_id, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX ix_deliveries_ended_at ON deliveries (ended_at) WHERE ended_at IS NOT NULL;

ALTER TABLE jobs ADD COLUMN notify jsonb;
ALTER TABLE steps ADD COLUMN held_for text;

CREATE FUNCTION write_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO deliveries (tenant_id, id, endpoint_id, url, lane, type, message_id, job_id, data, happened_at)
  SELECT NEW.tenant_id, new_typeid('dlv'), target.id, target.url, target.lane, NEW.type,
         'msg_' || substr(NEW.job_id, 5) || '_' || NEW.seq, NEW.job_id, NEW.data, NEW.at
  FROM (
    SELECT id, NULL::text AS url, id AS lane FROM (
      SELECT e.id FROM webhook_endpoints e
      WHERE e.tenant_id = NEW.tenant_id AND e.disabled_at IS NULL AND NEW.type = ANY (e.types)
        AND (e.listening_until IS NULL OR e.listening_until > now())
      FOR KEY SHARE
    ) AS wanting
    UNION ALL
    SELECT NULL, j.notify ->> 'url', NEW.tenant_id || ' ' || left(md5(j.notify ->> 'host'), 3) FROM jobs j
    WHERE j.tenant_id = NEW.tenant_id AND j.id = NEW.job_id AND j.notify -> 'events' ? NEW.type
  ) AS target;
  IF FOUND THEN
    PERFORM pg_notify('millrace_webhooks', NEW.tenant_id);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER write_deliveries AFTER INSERT ON events FOR EACH ROW
  WHEN (NEW.type IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.expired', 'step.succeeded'))
  EXECUTE FUNCTION write_deliveries();
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
