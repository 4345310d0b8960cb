"""The API's documents about schedules as frozen dataclasses, and `Millrace.schedules`, which asks for them."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from api.client.answers import Document, Paged, time, understood
from api.client.connection import Connection
from api.client.failures import MillraceError

ID = re.compile(r"sch_[0-7][0-9a-hjkmnp-tv-z]{25}")

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]
OVERLAPS: tuple[Overlap, ...] = ("skip", "buffer_one", "buffer_all", "cancel_running", "allow")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A schedule as it stands; `next_fire_at` is None unless it is active.

    `document` is what was asked for, with every default: what `create` takes. `version` is raised by every change of
    that, and what `update` and `delete` take.
    """

    id: str
    name: str | None
    state: str
    words: str
    timezone: str
    next_fire_at: datetime | None
    runs: int
    paused_at: datetime | None
    paused_reason: str | None
    source: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    document: Document
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What became of a firing, or of all nominal times from `nominal_at` to `until_at`.

    `job` is the id of the job that it started; `job_state` is None where there is none, or not any more.
    """

    nominal_at: datetime
    until_at: datetime | None
    origin: str
    outcome: str
    reason: str | None
    job: str | None
    job_state: str | None
    late_seconds: float | None
    fired_at: datetime
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfilled:
    """What a backfill does: of so many nominal times, those that are `accepted` had no job and get one."""

    accepted: int
    nominal_times: int
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """When a schedule would fire: `fire_times` with the offsets of its zone."""

    words: str
    timezone: str
    fire_times: tuple[datetime, ...]
    raw: Document = field(repr=False, default_factory=dict)


class Schedules:
    """What a client does with schedules, which are named by their id."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def create(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Schedule:
        """Make a schedule: one of cron, every and at, and a job. Tried again as `Millrace.submit` is.

        Raises ApiError with code invalid_schedule, schedule_name_taken, too_many_schedules.
        """
        return schedule(self._connection.post("/v1/schedules", _json(document), _key(idempotency_key)))

    def get(self, schedule_id: str) -> Schedule:
        """The schedule as it stands."""
        return schedule(self._connection.get(_path(schedule_id)))

    def named(self, name: str) -> Schedule | None:
        """Your schedule of that name, or None."""
        found = page(self._connection.get("/v1/schedules", {"name": name}))[0] if len(name) <= 100 else []
        return found[0] if found else None

    def list(self, state: str | None = None, limit: int | None = None) -> Iterator[Schedule]:
        """Your schedules, newest first; only those in `state`, at most `limit`, default all."""
        yield from self._paged("/v1/schedules", {} if state is None else {"state": state}, limit, page)

    def update(self, schedule_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> Schedule:
        """Change fields, by a JSON merge patch: None sets one back to its default.

        With `version` only if nobody has changed it since, and with one try. Raises ApiError with code
        precondition_failed, invalid_schedule, schedule_name_taken.
        """
        headers = {"If-Match": _match(version), "Content-Type": "application/merge-patch+json"}
        send = self._connection.patch if version is None else self._connection.patch_once
        return schedule(send(_path(schedule_id), _json(changes), headers))

    def delete(self, schedule_id: str, *, version: int | None = None) -> None:
        """Delete it; jobs that it has started go on. `version` as for `update`."""
        self._connection.delete(_path(schedule_id), {} if version is None else {"If-Match": _match(version)})

    def pause(self, schedule_id: str, reason: str | None = None) -> Schedule:
        """Let it fire no more; triggers and backfills still work. Twice is as once."""
        wish = {} if reason is None else {"reason": reason}
        return schedule(self._connection.post(f"{_path(schedule_id)}/pause", _json(wish)))

    def resume(self, schedule_id: str) -> Schedule:
        """Let it fire again, from now on."""
        return schedule(self._connection.post(f"{_path(schedule_id)}/resume"))

    def trigger(self, schedule_id: str, *, overlap: Overlap | None = None, idempotency_key: str | None = None) -> Run:
        """Fire it now; its rule of overlap, or this one, decides what becomes of that."""
        wish = {} if overlap is None else {"overlap": overlap}
        return run(self._connection.post(f"{_path(schedule_id)}/trigger", _json(wish), _key(idempotency_key)))

    def backfill(
        self,
        schedule_id: str,
        first: datetime | str,
        last: datetime | str,
        *,
        overlap: Literal["buffer_all", "allow"] = "buffer_all",
        idempotency_key: str | None = None,
    ) -> Backfilled:
        """Start a job for each nominal time from `first` to `last`, both included, that has none.

        Times without an offset are read in the schedule's zone. Raises ApiError with code backfill_too_large.
        """
        wish = {"from": _moment(first), "to": _moment(last), "overlap": overlap}
        done = self._connection.post(f"{_path(schedule_id)}/backfill", _json(wish), _key(idempotency_key))
        return understood(
            lambda it: Backfilled(accepted=it["accepted"], nominal_times=it["nominal_times"], raw=it), done
        )

    def runs(self, schedule_id: str, outcome: str | None = None, limit: int | None = None) -> Iterator[Run]:
        """What became of its firings, the latest nominal time first; at most `limit`, default all."""
        chosen = {} if outcome is None else {"outcome": outcome}
        yield from self._paged(f"{_path(schedule_id)}/runs", chosen, limit, runs)

    def preview(self, document: Mapping[str, Any], *, count: int = 5, after: datetime | str | None = None) -> Preview:
        """When a schedule with these fields would fire; it needs no job."""
        wish = {**document, "count": count, **({} if after is None else {"after": _moment(after)})}
        return understood(_preview, self._connection.post("/v1/schedules/preview", _json(wish)))


def schedule(document: Any) -> Schedule:
    """Read a schedule's document. Raises MillraceError where it is none."""
    return understood(_schedule, document)


def page(document: Any) -> tuple[Sequence[Schedule], str | None]:
    """Read a page of schedules and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_schedule(one) for one in it["data"]], it["next_cursor"]), document)


def run(document: Any) -> Run:
    """Read what became of a firing. Raises MillraceError where it is something else."""
    return understood(_run, document)


def runs(document: Any) -> tuple[Sequence[Run], str | None]:
    """Read a page of firings and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_run(one) for one in it["data"]], it["next_cursor"]), document)


# What the platform says of a schedule, beside what was asked for.
_TOLD = frozenset(
    {"id", "state", "words", "next_fire_at", "runs", "paused_at", "paused_reason", "source", "version"}
    | {"created_at", "updated_at", "links"}
)


def _schedule(it: Document) -> Schedule:
    return Schedule(
        id=it["id"],
        name=it["name"],
        state=it["state"],
        words=it["words"],
        timezone=it["timezone"],
        next_fire_at=time(it["next_fire_at"]),
        runs=it["runs"],
        paused_at=time(it["paused_at"]),
        paused_reason=it["paused_reason"],
        source=it["source"],
        version=it["version"],
        created_at=datetime.fromisoformat(it["created_at"]),
        updated_at=datetime.fromisoformat(it["updated_at"]),
        document={name: value for name, value in it.items() if name not in _TOLD},
        raw=it,
    )


def _run(it: Document) -> Run:
    job = it["job"] or {}
    return Run(
        nominal_at=datetime.fromisoformat(it["nominal_at"]),
        until_at=time(it["until_at"]),
        origin=it["origin"],
        outcome=it["outcome"],
        reason=it["reason"],
        job=job.get("id"),
        job_state=job.get("state"),
        late_seconds=it["late_seconds"],
        fired_at=datetime.fromisoformat(it["fired_at"]),
        raw=it,
    )


def _preview(it: Document) -> Preview:
    times = tuple(datetime.fromisoformat(one["local"]) for one in it["fire_times"])
    return Preview(words=it["words"], timezone=it["timezone"], fire_times=times, raw=it)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(document), allow_nan=False).encode()


def _key(given: str | None) -> Mapping[str, str]:
    return {"Idempotency-Key": given or secrets.token_urlsafe(24)}


def _match(version: int | None) -> str:
    return "*" if version is None else f'"{version}"'


def _moment(when: datetime | str) -> str:
    return when if isinstance(when, str) else when.isoformat()


def _path(schedule_id: str) -> str:
    if not _ASKABLE.fullmatch(schedule_id):
        raise MillraceError(f"{schedule_id!r} is not the id of a schedule; they begin with sch_")
    return f"/v1/schedules/{schedule_id}"
