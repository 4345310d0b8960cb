"""The tables of batches, and of the lines of theirs that became no job. See storage.tables."""

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables import ID, NOW, TIME, metadata

batches = Table(
    "batches",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("notify", JSONB),  # who is told of its end: url, host, events
    Column("accepted", Integer, nullable=False),  # jobs that were written for it
    Column("existing", Integer, nullable=False),  # lines whose unique_key another job had
    Column("refused", Integer, nullable=False),  # lines that could not be accepted
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("canceled_at", TIME),  # when it was told to end: its jobs are canceled one by one after that
    Column("finished_at", TIME),
    Index("ix_batches_open", "created_at", postgresql_where=text("finished_at IS NULL")),
    Index("ix_batches_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
)

batch_errors = Table(
    "batch_errors",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("batch_id", ID, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("flaws", JSONB, nullable=False),  # [{pointer, detail}]
    Column("job_id", ID),  # which has the line's unique_key
    ForeignKeyConstraint(["tenant_id", "batch_id"], ["batches.tenant_id", "batches.id"], ondelete="CASCADE"),
)
