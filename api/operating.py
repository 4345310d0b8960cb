"""The documents about dead letters and queues."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from api.schemas import Document


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
    """A queue, and since when nothing new starts from it."""

    name: str
    paused: bool
    paused_at: datetime | None


class QueuePage(Document):
    """All queues."""

    data: list[QueueDocument]
