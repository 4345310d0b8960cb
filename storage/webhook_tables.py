"""The tables of tenants' secrets, of webhook endpoints and of what is delivered to them. See storage.tables."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
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
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables import ID, NOW, TIME, metadata

_MOMENT = text("clock_timestamp()")

secrets = Table(
    "secrets",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("name", ID, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # see storage.sealing
    Column("key_id", Text, nullable=False),  # of the SECRET_KEY that seals it
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("url", Text),  # null: a developer listens, and gets it over HTTP
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("types", ARRAY(Text), nullable=False),
    Column("ed25519", Boolean, nullable=False, server_default=text("false")),  # signed in that way as well
    Column("sealed", LargeBinary),  # its signing secrets, one or two
    Column("key_id", Text),
    Column("disabled_at", TIME),
    Column("disabled_reason", Text),
    Column("failing_since", TIME),  # the first failure since the last success
    Column("delivered_at", TIME),  # the last success
    Column("listening_until", TIME),  # of a listener only
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Index("ix_webhook_endpoints_listening", "listening_until", postgresql_where=text("listening_until IS NOT NULL")),
)

# Written by a trigger on events: see migration 0007.
deliveries = Table(
    "deliveries",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("endpoint_id", ID),  # null: it goes to the `notify` of its job,
    Column("url", Text),  # which is here then
    Column("lane", ID, nullable=False),  # the endpoint's id, or the tenant's and a hash of the host of a `notify`
    Column("type", Text, nullable=False),
    Column("message_id", Text, nullable=False),  # the header webhook-id: the same however often it is sent
    Column("job_id", ID),  # no foreign key: it outlives its job
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),  # of the event
    Column("happened_at", TIME, nullable=False, server_default=_MOMENT),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("next_at", TIME, server_default=_MOMENT),  # when it is tried; while it is, when it counts as lost
    Column("claim", Integer, nullable=False, server_default=text("0")),  # the fence: raised by every claim
    Column("tries", Integer, nullable=False, server_default=text("0")),  # since it was last told to go
    Column("log", JSONB, nullable=False, server_default=text("'[]'")),  # the last tries, oldest first
    Column("body", Text),  # what is sent, once it has been tried: every try sends the same
    Column("ended_at", TIME),
    ForeignKeyConstraint(
        ["tenant_id", "endpoint_id"], ["webhook_endpoints.tenant_id", "webhook_endpoints.id"], ondelete="CASCADE"
    ),
    CheckConstraint("state IN ('pending', 'delivered', 'failed', 'canceled')", name="state"),
    Index("ix_deliveries_pending", "lane", "next_at", postgresql_where=text("state = 'pending'")),
    Index(
        "ix_deliveries_of_endpoint",
        "tenant_id",
        "endpoint_id",
        "id",
        postgresql_where=text("endpoint_id IS NOT NULL"),
    ),
    Index(
        "ix_deliveries_not_taken",
        "tenant_id",
        "endpoint_id",
        "state",
        "id",
        postgresql_where=text("state IN ('failed', 'canceled')"),
    ),
    Index("ix_deliveries_of_job", "tenant_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    Index("ix_deliveries_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
)
