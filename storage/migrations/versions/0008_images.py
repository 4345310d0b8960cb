"""Uploads, finished pictures that jobs share, and keys that sign the addresses of pictures."""

from alembic import op

revision = "0008"
down_revision = "0007"

_STATEMENTS = """
CREATE TABLE uploads (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_uploads_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  filename text NOT NULL,
  content_type text NOT NULL,
  bytes bigint NOT NULL,
  sha256 text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  blurhash text,
  width integer,
  height integer,
  CONSTRAINT pk_uploads PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_uploads_expires_at ON uploads (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE renditions (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_renditions_tenants REFERENCES tenants (id),
  digest text COLLATE "C" NOT NULL,
  used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  made_at timestamptz,
  gone_at timestamptz,
  width integer,
  height integer,
  frames integer,
  bytes bigint,
  content_type text,
  engine text,
  CONSTRAINT pk_renditions PRIMARY KEY (tenant_id, digest)
) WITH (fillfactor = 90);
CREATE INDEX ix_renditions_used_at ON renditions (used_at) WHERE gone_at IS NULL;
CREATE INDEX ix_renditions_gone_at ON renditions (gone_at) WHERE gone_at IS NOT NULL;

CREATE TABLE job_renditions (
  tenant_id text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  CONSTRAINT pk_job_renditions PRIMARY KEY (tenant_id, digest, job_id),
  CONSTRAINT fk_job_renditions_renditions FOREIGN KEY (tenant_id, digest)
    REFERENCES renditions (tenant_id, digest) ON DELETE CASCADE,
  CONSTRAINT fk_job_renditions_jobs FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_job_renditions_tenant_id_job_id ON job_renditions (tenant_id, job_id);

CREATE TABLE image_keys (
  tenant_id text COLLATE "C" NOT NULL CONSTRAINT fk_image_keys_tenants REFERENCES tenants (id),
  id text COLLATE "C" NOT NULL,
  sealed bytea NOT NULL,
  key_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  retired_at timestamptz,
  CONSTRAINT pk_image_keys PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX ix_image_keys_id ON image_keys (id);
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
