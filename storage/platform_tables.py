"""The tables of the platform itself: numbers of queues, workers, what the scaler decides. See storage.tables."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables import ID, NOW, TIME, metadata

# Written by triggers on steps at every change of a state (null: there was none before, or is none after).
step_changes = Table(
    "step_changes",
    metadata,
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("was", Text),
    Column("became", Text),
    Column("at", TIME, nullable=False),
    Column("seconds", Double),  # how long the attempt took that ended with this change
)

step_counts = Table(
    "step_counts",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("priority", SmallInteger, primary_key=True, autoincrement=False),
    *(Column(state, BigInteger, nullable=False) for state in ("waiting", "scheduled", "queued", "running", "retrying")),
)

step_flow = Table(
    "step_flow",
    metadata,
    Column("at", TIME, primary_key=True),  # the interval's beginning
    Column("queue", Text, primary_key=True),
    Column("priority", SmallInteger, primary_key=True, autoincrement=False),
    Column("arrived", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
)

service_times = Table(
    "service_times",
    metadata,
    Column("at", TIME, primary_key=True),  # the minute's beginning
    Column("queue", Text, primary_key=True),
    Column("priority", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("attempts", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("squares", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", ID, primary_key=True),
    Column("replica", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("started_at", TIME, nullable=False, server_default=NOW),
    Column("seen_until", TIME, nullable=False),
    Column("stopping", Boolean, nullable=False, server_default=text("false")),
    Column("version", Text),
    Column("metrics_url", Text),
)

pools = Table(  # what the scaler decided last
    "pools",
    metadata,
    Column("name", Text, primary_key=True),
    Column("replicas", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("least", Integer, nullable=False),
    Column("most", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("memory", JSONB, nullable=False),  # the policy's, for the next decision
    Column("decided_at", TIME, nullable=False),
)

scale_decisions = Table(  # those that changed something
    "scale_decisions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("pool", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Index(None, "pool", "id"),
)
