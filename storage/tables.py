"""The tables, as SQLAlchemy Core sees them; storage/migrations makes them, and a test compares the two.

A job's rows are locked in one order everywhere: the job first, then its steps.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from storage.model import JobState, Outcome, StepState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = Text(collation="C")  # bytewise order: ids sort by their time of creation whatever the server's locale is
TIME = DateTime(timezone=True)
NOW = text("now()")


def _one_of(column: str, values: type[JobState] | type[StepState] | type[Outcome]) -> CheckConstraint:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


tenants = Table(
    "tenants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("retention", JSONB, nullable=False, server_default=text("'{}'")),  # final state → seconds, where it differs
    Column("created_at", TIME, nullable=False, server_default=NOW),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, ForeignKey("tenants.id"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256: the key is long and random, it needs no salt
    Column("hint", Text, nullable=False),  # the key's first characters, for people to tell keys apart
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("revoked_at", TIME),
)

jobs = Table(
    "jobs",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("state", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),  # the lower, the sooner
    Column("input", JSONB),
    Column("metadata", JSONB, nullable=False),
    Column("error", JSONB),
    Column("steps_total", Integer, nullable=False),
    Column("steps_open", Integer, nullable=False),  # steps that have not ended
    Column("steps_unmet", Integer, nullable=False, server_default=text("0")),  # steps that ended without success
    Column("event_seq", Integer, nullable=False, server_default=text("0")),  # number of the job's newest event
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("started_at", TIME),
    Column("finished_at", TIME),
    Column("deadline_seconds", Double),  # as the document has it
    Column("deadline_at", TIME),
    Column("unique_key", JSONB),  # key, mode and ttl_seconds, as they were asked for
    Column("stop_as", Text),  # how it ends when its running steps have stopped: canceled, expired or failed
    Column("stop_at", TIME),  # when that was decided
    Column("schedule_id", ID),  # of the firing that it comes from; no foreign key: it outlives its schedule
    Column("fire_time", TIME),
    Column("notify", JSONB),  # who is told of its events: url, host, events
    Column("template", Text),  # which its steps come from, with its version; no foreign key: it may be deleted
    Column("request_id", Text),  # of the request that made it
    Column("trace", Text),  # the W3C traceparent of whatever made it, where traces are kept
    Column("batch_id", ID),  # no foreign key: it is written behind its jobs, and outlives them
    Column("batch_line", Integer),
    _one_of("state", JobState),
    CheckConstraint("stop_as IN ('canceled', 'expired', 'failed')", name="stop_as"),
    Index(None, "tenant_id", "state", "id"),  # GET /v1/jobs?state=
    Index(
        "ix_jobs_deadline",
        "deadline_at",
        postgresql_where=text("deadline_at IS NOT NULL AND finished_at IS NULL AND stop_as IS NULL"),
    ),
    Index(
        "ix_jobs_of_schedule",
        "tenant_id",
        "schedule_id",
        "id",
        postgresql_where=text("schedule_id IS NOT NULL AND finished_at IS NULL"),
    ),
    Index(
        "ix_jobs_of_batch",
        "tenant_id",
        "batch_id",
        "state",
        "id",
        postgresql_where=text("batch_id IS NOT NULL"),
    ),
    Index("ix_jobs_rejected", "tenant_id", "id", postgresql_where=text("stop_as = 'failed'")),
    Index("ix_jobs_finished", "state", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
)

steps = Table(
    "steps",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("job_id", ID, nullable=False),
    Column("position", SmallInteger, nullable=False),  # in the job's document
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("stop_when", JSONB),  # the condition on the result that ends the job as failed: condition, code, message
    Column("uses", ARRAY(Text), nullable=False),
    Column("file_from", Text),  # the step of `uses` whose output it works on; null: the job's own file
    Column("waiting_on", Integer, nullable=False),  # while it waits: steps in `uses` that have not succeeded yet
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),  # the fence: raised by every claim
    Column("failures", Integer, nullable=False, server_default=text("0")),  # both since the job was last told to run
    Column("losses", Integer, nullable=False, server_default=text("0")),
    Column("max_attempts", Integer, nullable=False),  # the step fails for good at this failure,
    Column("max_losses", Integer, nullable=False, server_default=text("3")),  # or at this loss of its worker
    Column("progress", Double, nullable=False, server_default=text("0")),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("run_at", TIME, nullable=False, server_default=NOW),
    Column("published_at", TIME),  # when the relay last sent the hint; null: it has still to be sent
    Column("first_started_at", TIME),  # since the job was last told to run
    Column("started_at", TIME),
    Column("lease_until", TIME),
    Column("worker", Text),
    Column("slot", Integer),  # process number of the worker's child that works on it
    Column("finished_at", TIME),
    Column("fingerprint", Text),  # these two are those of the error of a step that failed for good: a trigger's,
    Column("error_code", Text),  # so that an index can have them
    Column("held_for", Text),  # why it may not start, although its time had come
    ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
    _one_of("state", StepState),
    Index(None, "tenant_id", "job_id", "position", unique=True),
    # One small partial index per loop: relay (to send, due, sent but not taken) and reaper.
    Index(
        "ix_steps_to_publish",
        "queue",
        "priority",
        "run_at",
        postgresql_where=text("state = 'queued' AND published_at IS NULL"),
    ),
    Index("ix_steps_due", "run_at", postgresql_where=text("state IN ('scheduled', 'retrying')")),
    Index(
        "ix_steps_published",
        "queue",
        "published_at",
        postgresql_where=text("state = 'queued' AND published_at IS NOT NULL"),
    ),
    # Not by lease_until: a renewal changes no column that has an index, so that its row stays in its page.
    Index("ix_steps_leased", "worker", postgresql_where=text("state = 'running'")),
    Index(
        "ix_steps_dead",
        "tenant_id",
        "kind",
        "finished_at",
        postgresql_include=["job_id", "fingerprint", "error_code"],
        postgresql_where=text("state = 'failed'"),
    ),
)

attempts = Table(
    "attempts",  # no foreign key: a trigger of steps deletes them, see migration 0015
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("step_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("outcome", Text, nullable=False),
    Column("worker", Text),
    Column("started_at", TIME, nullable=False),
    Column("finished_at", TIME, nullable=False, server_default=NOW),
    Column("error", JSONB),
    _one_of("outcome", Outcome),
)

events = Table(
    "events",  # no foreign key: a trigger of jobs deletes them, see migration 0013
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("job_id", ID, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("at", TIME, nullable=False, server_default=NOW),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenants.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary),  # SHA-256 of the payload; null while the request is in flight
    Column("answer", JSONB),
    Column("token", Text),  # of the request that holds the key; null once answered
    Column("locked_until", TIME),  # a request that died unlocks by time
    Column("created_at", TIME, nullable=False, server_default=NOW, index=True),
)

queues = Table(
    "queues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at", TIME),  # null: it runs; a queue without a row runs too
)

unique_keys = Table(
    "unique_keys",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("job_id", ID, nullable=False),  # the newest job with this key; no foreign key: the job may be written later
    Column("created_at", TIME, nullable=False, server_default=NOW, index=True),
    Index(None, "tenant_id", "job_id"),
)

# Objects that are to be deleted: written in the transaction that makes them superfluous, or before a file is put whose
# row may never come to be.
removals = Table(
    "removals",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("job_id", ID, primary_key=True),  # or that of an upload
    Column("outputs_only", Boolean, primary_key=True),
    Column("due_at", TIME, nullable=False, server_default=NOW, index=True),
)

# What pictures look like, by the step that looked. Where pgvector is installed there is an index over the embeddings,
# too, which SQLAlchemy knows nothing of: see migration 0005.
likenesses = Table(
    "likenesses",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("step_id", ID, primary_key=True),
    Column("job_id", ID, nullable=False),
    Column("model", Text, nullable=False),  # "name/version" of the network that made the embedding
    Column("embedding", ARRAY(REAL)),  # of unit length
    Column("phash", BigInteger),  # 64 bits, read as a signed number
    Column("written", BigInteger, nullable=False),  # number of the transaction that wrote the row
    ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
    CheckConstraint("cardinality(embedding) = 1280", name="embedding"),
    Index(None, "tenant_id", "job_id"),
    Index("ix_likenesses_embedded", "tenant_id", "model", "written", postgresql_where=text("embedding IS NOT NULL")),
)
