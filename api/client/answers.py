"""The API's documents as frozen dataclasses. Fields that we do not know are ignored; `raw` keeps the whole document."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from api.client.failures import MillraceError

ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
"""The states from which neither a job nor a step goes on."""

Document = Mapping[str, Any]
T = TypeVar("T")
Paged = Callable[..., Iterator[Any]]
"""How `Millrace` goes through the pages of a listing: (path, parameters, most in all, what reads a page)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why something did not succeed: `code` is stable, `message` is for people.

    `fingerprint` is the same for failures with the same reason, and what `Millrace.replay` takes.
    """

    code: str
    message: str
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """The uploaded file of a job."""

    filename: str
    content_type: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Seconds until it started, and from there to its end; None where not yet known."""

    waited_seconds: float | None = None
    ran_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A file that a step made; pass it to `Millrace.download`. `width` and `height` in pixels, for pictures."""

    job: str
    step: str
    name: str
    bytes: int
    content_type: str
    href: str
    width: int | None = None
    height: int | None = None
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One finished attempt at a step."""

    number: int
    outcome: str
    error: Failure | None
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step as it stands; `progress` is 0..1, `result` is what its kind returned.

    `losses` counts how often it has lost its worker; `held_for` is why it may not start before its `run_at`.
    """

    name: str
    id: str
    kind: str
    state: str
    use: tuple[str, ...]
    losses: int
    progress: float
    attempts: tuple[Attempt, ...]
    result: Any
    outputs: tuple[Output, ...]
    error: Failure | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timings: Timings
    held_for: str | None = None
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fired:
    """The firing that a job comes from: the id of its schedule, and its nominal time."""

    id: str
    fire_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as it stands; `steps` by name, in the order of its document, empty in listings.

    `stopping` is how it will end once its running steps have stopped: canceled or expired. `template` names, with its
    version, what its steps come from.
    """

    id: str
    state: str
    priority: str
    progress: float
    input: Input | None
    error: Failure | None
    metadata: Document
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    stopping: str | None
    timings: Timings
    links: Mapping[str, str]
    steps: Mapping[str, Step]
    schedule: Fired | None = None
    template: str | None = None
    raw: Document = field(repr=False, default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The files that its steps made, in their order."""
        return tuple(output for step in self.steps.values() for output in step.outputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job; `seq` counts from 1 within the job."""

    seq: int
    type: str
    job: str
    at: datetime
    data: Document
    raw: Document = field(repr=False, default_factory=dict)


def job(document: Any) -> Job:
    """Read a job's document, or one of a listing. Raises MillraceError where it is none."""
    return understood(_job, document)


def event(document: Any) -> Event:
    """Read an event's document. Raises MillraceError where it is none."""
    return understood(_event, document)


def page(document: Any) -> tuple[list[Job], str | None]:
    """Read a page of jobs and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_job(one) for one in it["data"]], it["next_cursor"]), document)


def understood(read: Callable[[Any], T], document: Any) -> T:
    """What `read` makes of a document. Raises MillraceError where it is another than it expects."""
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise MillraceError(
            f"the answer is not as Millrace writes it ({type(exc).__name__}: {exc}); is the URL right?"
        ) from exc


def _job(it: Document) -> Job:
    return Job(
        id=it["id"],
        state=it["state"],
        priority=it["priority"],
        progress=float(it["progress"]),
        input=_input(it["input"]),
        error=_failure(it["error"]),
        metadata=it["metadata"],
        created_at=datetime.fromisoformat(it["created_at"]),
        started_at=time(it["started_at"]),
        finished_at=time(it["finished_at"]),
        deadline_at=time(it.get("deadline_at")),
        stopping=it.get("stopping"),
        timings=_timings(it["timings"]),
        links=it["links"],
        steps={name: _step(it["id"], name, step) for name, step in it.get("steps", {}).items()},
        schedule=_fired(it.get("schedule")),
        template=it.get("template"),
        raw=it,
    )


def _step(job_id: str, name: str, it: Document) -> Step:
    result = it["result"]
    listed = result.get("outputs") if isinstance(result, Mapping) else None
    return Step(
        name=name,
        id=it["id"],
        kind=it["kind"],
        state=it["state"],
        use=tuple(it["use"]),
        losses=it.get("losses", 0),
        progress=float(it["progress"]),
        attempts=tuple(_attempt(one) for one in it["attempts"]),
        result=result,
        outputs=tuple(_output(job_id, name, one) for one in listed) if isinstance(listed, list) else (),
        error=_failure(it["error"]),
        created_at=datetime.fromisoformat(it["created_at"]),
        run_at=datetime.fromisoformat(it["run_at"]),
        started_at=time(it["started_at"]),
        finished_at=time(it["finished_at"]),
        timings=_timings(it["timings"]),
        held_for=it.get("held_for"),
        raw=it,
    )


def _output(job_id: str, step: str, it: Document) -> Output:
    return Output(
        job=job_id,
        step=step,
        name=it["name"],
        bytes=it["bytes"],
        content_type=it["content_type"],
        href=it["href"],
        width=it.get("width"),
        height=it.get("height"),
        raw=it,
    )


def _attempt(it: Document) -> Attempt:
    return Attempt(
        number=it["number"],
        outcome=it["outcome"],
        error=_failure(it["error"]),
        started_at=datetime.fromisoformat(it["started_at"]),
        finished_at=datetime.fromisoformat(it["finished_at"]),
    )


def _event(it: Document) -> Event:
    at = datetime.fromisoformat(it["at"])
    return Event(seq=int(it["seq"]), type=str(it["type"]), job=it["job"], at=at, data=dict(it["data"]), raw=it)


def _input(it: Document | None) -> Input | None:
    if it is None:
        return None
    return Input(filename=it["filename"], content_type=it["content_type"], bytes=it["bytes"])


def _failure(it: Document | None) -> Failure | None:
    if it is None:
        return None
    return Failure(code=it["code"], message=it["message"], fingerprint=it.get("fingerprint", ""))


def _fired(it: Document | None) -> Fired | None:
    return None if it is None else Fired(id=it["id"], fire_time=datetime.fromisoformat(it["fire_time"]))


def _timings(it: Document) -> Timings:
    return Timings(waited_seconds=it.get("waited_seconds"), ran_seconds=it.get("ran_seconds"))


def time(it: str | None) -> datetime | None:
    """A time of a document, or none."""
    return None if it is None else datetime.fromisoformat(it)
