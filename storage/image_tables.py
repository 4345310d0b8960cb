"""The tables of uploads, of finished pictures that jobs share, and of the keys of their addresses. See storage.tables.

Rows are locked in one order everywhere: the job first, then its unique key, then renditions by their digests.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from storage.tables import ID, NOW, TIME, metadata

uploads = Table(
    "uploads",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),  # 64 hexadecimal digits
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("expires_at", TIME),  # null: kept until it is deleted
    Column("blurhash", Text),  # this and the sides: of a picture that has been looked at
    Column("width", Integer),
    Column("height", Integer),
    Index("ix_uploads_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

# One row each before its object is written, so no object is ever without; finished when `made_at` is set.
renditions = Table(
    "renditions",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("digest", ID, primary_key=True),  # of source, parameters and engine: see tasks.renditions
    Column("used_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("made_at", TIME),  # null: its object may be there, whole, or not
    Column("gone_at", TIME),  # given up: from then on object and row are to be deleted
    Column("width", Integer),
    Column("height", Integer),
    Column("frames", Integer),
    Column("bytes", BigInteger),
    Column("content_type", Text),
    Column("engine", Text),
    Index("ix_renditions_used_at", "used_at", postgresql_where=text("gone_at IS NULL")),
    Index("ix_renditions_gone_at", "gone_at", postgresql_where=text("gone_at IS NOT NULL")),
)

# Which jobs have a rendition among their outputs, or are making it.
job_renditions = Table(
    "job_renditions",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("digest", ID, primary_key=True),
    Column("job_id", ID, primary_key=True),
    ForeignKeyConstraint(["tenant_id", "digest"], ["renditions.tenant_id", "renditions.digest"], ondelete="CASCADE"),
    ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
    Index(None, "tenant_id", "job_id"),
)

image_keys = Table(
    "image_keys",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # see storage.sealing
    Column("key_id", Text, nullable=False),  # of the SECRET_KEY that seals it
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("retired_at", TIME),  # from then on it opens nothing; null: it is not retired
    Index(None, "id", unique=True),  # an address names the key, and not its tenant
)
