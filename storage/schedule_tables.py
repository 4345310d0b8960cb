"""The tables of schedules and of what became of their firings. See storage.tables."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables import ID, NOW, TIME, metadata

schedules = Table(
    "schedules",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("name", Text),  # the tenant's own
    Column("document", JSONB, nullable=False),  # as it was checked, with every default
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("source", Text),  # what applies it at every start; null: it was made over HTTP
    Column("starts", JSONB, nullable=False),  # queue → steps that may run as soon as it fires
    Column("next_at", TIME),  # its next nominal time; null: there is none any more
    Column("due_at", TIME),  # when a firing loop looks at it; null: never
    Column("latest_due", TIME),  # of the nominal times that have been decided, the latest at which one was due
    Column("runs", Integer, nullable=False, server_default=text("0")),  # own firings that count towards max_runs
    Column("paused_at", TIME),
    Column("paused_reason", Text),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Index("uq_schedules_tenant_id_name", "tenant_id", "name", unique=True),
    Index("ix_schedules_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

firings = Table(
    "firings",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("schedule_id", ID, primary_key=True),
    Column("nominal_at", TIME, primary_key=True),  # when it was meant to be: one row, so one job, for each
    Column("until_at", TIME),  # of a row that stands for all nominal times from nominal_at to here
    Column("origin", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("job_id", ID),  # no foreign key: the job may be deleted sooner
    Column("late_seconds", Double),  # after it was due
    Column("overlap", Text),  # its own rule while it waits; null: its schedule's
    Column("fired_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    ForeignKeyConstraint(["tenant_id", "schedule_id"], ["schedules.tenant_id", "schedules.id"], ondelete="CASCADE"),
    CheckConstraint("origin IN ('schedule', 'trigger', 'backfill')", name="origin"),
    CheckConstraint("outcome IN ('started', 'buffered', 'skipped', 'missed', 'failed')", name="outcome"),
    Index(
        "ix_firings_buffered", "tenant_id", "schedule_id", "nominal_at", postgresql_where=text("outcome = 'buffered'")
    ),
    Index("ix_firings_fired_at", "fired_at"),
)

# Written by a trigger on jobs, read by the firing loop.
firing_ends = Table(
    "firing_ends",
    metadata,
    Column("tenant_id", ID, nullable=False),
    Column("schedule_id", ID, nullable=False),
    Column("job_id", ID, nullable=False),
    Column("state", Text, nullable=False),
)

firing_counts = Table(
    "firing_counts",
    metadata,
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),  # several, so that loops do not queue for one
    Column("outcome", Text, primary_key=True),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),  # of lateness; see storage.firing_counts
    Column("firings", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
)
