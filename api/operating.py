"""The documents about dead letters and queues, and how counts become them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from api.numbers import LoadDocument, load_document
from storage.counts import Load, QueueCounts
from tasks.job_document import Document
from tasks.names import Priority


class FilterRequest(Document):
    """Which dead letters are meant: those that fit everything given."""

    kind: str | None = None
    fingerprint: str | None = None
    code: str | None = None
    failed_after: AwareDatetime | None = None
    failed_before: AwareDatetime | None = None


def _whole(value: Any) -> Any:
    """JSON knows no whole numbers: 5.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ReplayRequest(Document):
    """Which failed steps' jobs run again, and what share of them."""

    filter: FilterRequest = FilterRequest()
    percent: Annotated[float, Field(gt=0, le=100, description="of the jobs that match, rounded up")] = 100.0
    limit: Annotated[int, Field(ge=1, le=1000, description="at most so many jobs"), BeforeValidator(_whole)] = 1000


class ReplayDocument(Document):
    """What a replay did: `jobs` run again, and `matching` were there in all, `skipped` of the chosen could not."""

    matching: int
    skipped: int
    jobs: list[str]


class DeadLettersDocument(Document):
    """Steps of one kind that failed for one reason; `message` and `newest_job` are examples."""

    kind: str
    fingerprint: str
    code: str
    message: str
    count: int
    oldest: datetime
    newest: datetime
    newest_job: str


class DeadLettersPage(Document):
    """The largest groups first."""

    data: list[DeadLettersDocument]


class QueueDocument(Document):
    """A queue, since when nothing new starts from it, and its numbers.

    These are the whole platform's, across tenants, and null for a key without the scope `operate:read`.
    """

    name: str
    paused: bool
    paused_at: datetime | None
    workers: Annotated[int | None, Field(description="that serve it and are not stopping")]
    slots: Annotated[int | None, Field(description="steps that these workers can run at once")]
    load: LoadDocument | None
    by_priority: dict[Priority, LoadDocument] | None


class QueuePage(Document):
    """All queues."""

    data: list[QueueDocument]


def queue_document(queue: QueueCounts) -> QueueDocument:
    """The queue with its numbers; every priority is there, whether anything has it or not."""
    by_priority = {priority: load_document(queue.by_priority.get(priority.rank, Load())) for priority in Priority}
    return QueueDocument(
        name=queue.name,
        paused=queue.paused_at is not None,
        paused_at=queue.paused_at,
        workers=queue.workers,
        slots=queue.slots,
        load=load_document(queue.load),
        by_priority=by_priority,
    )


def bare_queue_document(name: str, paused_at: datetime | None) -> QueueDocument:
    """The queue for those who must not see its numbers."""
    return QueueDocument(
        name=name,
        paused=paused_at is not None,
        paused_at=paused_at,
        workers=None,
        slots=None,
        load=None,
        by_priority=None,
    )
