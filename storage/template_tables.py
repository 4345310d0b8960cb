"""The table of tenants' own templates. See storage.tables."""

from sqlalchemy import JSON, Column, ForeignKey, Integer, Table, Text

from storage.tables import ID, NOW, TIME, metadata

# A row is a version, which never changes. Of a template that is deleted the newest one stays, without its steps: no
# version's number is ever given twice.
templates = Table(
    "templates",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("name", ID, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("description", Text, nullable=False),
    Column("steps", JSON, nullable=False),  # not binary: the order of its names is kept
    Column("overrides", JSON, nullable=False),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("deleted_at", TIME),
)
