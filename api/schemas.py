"""The documents that the API answers with, and how rows become them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from storage.events import Event
from tasks.job_document import Document, JobSummary


class JobListed(JobSummary):
    """A job in a listing, with the kinds of its steps."""

    kinds: Annotated[list[str], Field(description="what its steps do: each kind once, by name")]


class JobPage(Document):
    """Jobs, newest first; `next_cursor` is null on the last page."""

    data: list[JobListed]
    next_cursor: str | None


class RetryRequest(Document):
    """How an ended job runs again; an empty object, or no body, means: the steps that did not succeed, as they are."""

    only: Annotated[
        Literal["failed", "all"], Field(description="`failed`: the steps that did not succeed; `all`: every step")
    ] = "failed"
    steps: Annotated[
        dict[str, dict[str, Any]],
        Field(description="new parameters by step, as a JSON merge patch (RFC 7396) on those it has"),
    ] = {}  # noqa: RUF012 - pydantic copies it


class EventDocument(Document):
    """Something that happened to a job; the stream's `id` is `seq`, its `event` is `type`."""

    seq: int
    type: str
    job: str
    at: datetime
    data: dict[str, Any]


class FlawDocument(Document):
    """A place in the request, as a JSON pointer, and what to do about it."""

    pointer: str
    detail: str
    line: Annotated[int | None, Field(ge=1, description="of the document, where there are many")] = None


class Problem(Document):
    """Every error, as application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FlawDocument] = []  # noqa: RUF012 - as above


class Health(Document):
    """Whether this process serves."""

    status: str


def event_document(event: Event) -> EventDocument:
    return EventDocument(seq=event.seq, type=event.type, job=event.job_id, at=event.at, data=event.data)
