"""What is said of a batch beside its jobs, and a batch as its owner is shown it, over HTTP and in webhooks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import to_json

from storage.batch_model import Batch, BatchState
from storage.model import JobState, Notify
from tasks.document import MAX_METADATA_BYTES
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import unknown_fields
from tasks.job_document import Document
from tasks.notices import notify_of
from tasks.values import MAX_FLAWS

MAX_JOBS = 10_000
MAX_BYTES = 32 * 1024**2  # of the body
MAX_WRITTEN_BYTES = 64 * 1024**2  # of what comes of it: defaults and templates can make much of short lines
MAX_STEPS = 50_000  # of all its jobs
MAX_NAME = 200
FIELDS = ("name", "metadata", "notify", "atomic", "defaults")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What holds for the whole batch. `atomic`: all of its jobs or none; `defaults` are merged into every job."""

    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notify: Notify | None = None
    atomic: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


class CountsDocument(Document):
    """Lines by what became of them, and the jobs among them by their state."""

    accepted: Annotated[int, Field(ge=0, description="lines that became jobs")]
    existing: Annotated[int, Field(ge=0, description="lines whose unique_key another job had")]
    refused: Annotated[int, Field(ge=0, description="lines with flaws")]
    scheduled: Annotated[int, Field(ge=0)]
    queued: Annotated[int, Field(ge=0)]
    running: Annotated[int, Field(ge=0)]
    succeeded: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    canceled: Annotated[int, Field(ge=0)]
    expired: Annotated[int, Field(ge=0)]
    deleted: Annotated[int, Field(ge=0, description="jobs that had ended and are not there any more")]


class BatchNotifyDocument(Document):
    """Where the batch tells of its end, besides its tenant's webhooks."""

    url: str


class BatchLinks(Document):
    """Where to go on from here."""

    self: str
    jobs: str
    errors: str


class BatchSummary(Document):
    """A batch as it stands: in listings, and in `batch.finished`."""

    id: str
    state: BatchState
    name: str
    progress: Annotated[float, Field(ge=0, le=1, description="the share of its jobs that have ended")]
    counts: CountsDocument
    metadata: dict[str, Any]
    notify: BatchNotifyDocument | None
    created_at: datetime
    canceled_at: datetime | None
    finished_at: datetime | None
    links: BatchLinks


def terms_of(given: Any, at: str = "") -> Terms:
    """The checked terms in an object with FIELDS that stands at the pointer `at`. Raises InvalidDocument."""
    if not isinstance(given, dict):
        raise InvalidDocument([Flaw(pointer=at, detail="must be an object")])
    flaws = list(unknown_fields(at, given, FIELDS))[:MAX_FLAWS]
    name, atomic = given.get("name", ""), given.get("atomic", False)
    if not isinstance(name, str) or len(name) > MAX_NAME:
        flaws.append(Flaw(pointer=f"{at}/name", detail=f"must be a string of at most {MAX_NAME} characters"))
    if not isinstance(atomic, bool):
        flaws.append(Flaw(pointer=f"{at}/atomic", detail="must be true or false"))
    metadata = _object(given, "metadata", at, flaws)
    if len(to_json(metadata)) > MAX_METADATA_BYTES:
        flaws.append(Flaw(pointer=f"{at}/metadata", detail=f"is larger than {MAX_METADATA_BYTES} bytes as JSON"))
    defaults, notify = _object(given, "defaults", at, flaws), _notify(given.get("notify"), at, flaws)
    if flaws:
        raise InvalidDocument(flaws)
    return Terms(name=name, metadata=metadata, notify=notify, atomic=atomic, defaults=defaults)


def batch_summary(batch: Batch, public_url: str) -> BatchSummary:
    """The batch; links begin with `public_url`."""
    return BatchSummary(**fields_of(batch, public_url))


def fields_of(batch: Batch, public_url: str) -> dict[str, Any]:
    """The fields of a BatchSummary."""
    at = f"{public_url}/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "state": batch.state,
        "name": batch.name,
        "progress": round(batch.progress, 4),
        "counts": CountsDocument(
            accepted=batch.accepted,
            existing=batch.existing,
            refused=batch.refused,
            deleted=batch.deleted,
            **{state.value: batch.states.get(state, 0) for state in JobState},
        ),
        "metadata": batch.metadata,
        "notify": batch.notify and BatchNotifyDocument(url=batch.notify.url),
        "created_at": batch.created_at,
        "canceled_at": batch.canceled_at,
        "finished_at": batch.finished_at,
        "links": BatchLinks(self=at, jobs=f"{public_url}/v1/jobs?batch={batch.id}", errors=f"{at}/errors"),
    }


def _object(given: Mapping[str, Any], name: str, at: str, flaws: list[Flaw]) -> Mapping[str, Any]:
    value = given.get(name, {})
    if isinstance(value, dict):
        return value
    flaws.append(Flaw(pointer=f"{at}/{name}", detail="must be an object"))
    return {}


def _notify(given: Any, at: str, flaws: list[Flaw]) -> Notify | None:
    """Of a batch there is one event to be told of, so that none can be chosen."""
    if isinstance(given, dict) and "events" in given:
        detail = "is told of the batch's end only: leave 'events' out"
        flaws.append(Flaw(pointer=f"{at}/notify/events", detail=detail))
        return None
    found: list[Flaw] = []
    notify = notify_of(given, found)
    flaws += [Flaw(pointer=f"{at}{flaw.pointer}", detail=flaw.detail) for flaw in found]
    return notify
