"""The tables that tell operators what happened: logs of jobs, processes that live, who did what. See storage.tables."""

from sqlalchemy import BigInteger, Column, ForeignKey, ForeignKeyConstraint, Identity, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables import ID, NOW, TIME, metadata

processes = Table(  # all but the workers, which have a table of their own
    "processes",
    metadata,
    Column("name", ID, primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("metrics_url", Text),
    Column("started_at", TIME, nullable=False, server_default=NOW),
    Column("seen_until", TIME, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
)

job_logs = Table(
    "job_logs",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("job_id", ID, primary_key=True),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIME, nullable=False),
    Column("level", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("step_id", ID),
    Column("attempt", Integer),
    Column("event", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
)

audit = Table(  # what people did through the API that changed something
    "audit",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("at", TIME, nullable=False, server_default=NOW, index=True),
    Column("key_id", ID, nullable=False),
    Column("via", Text, nullable=False),  # key, session
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("detail", JSONB, nullable=False),
    Column("request_id", Text),
    Column("address", Text),
)
