"""Which of a tenant's jobs a listing shows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, any_, func, literal, select

from storage.database import Tx
from storage.ids import least_id
from storage.model import JobId, JobState
from storage.tables import jobs, steps

SEARCHED = 10_000  # jobs that one page looks through for those with a step of a kind

# A job's id is made when its request begins, its row when its file is there; and clocks differ.
_LONGEST_REQUEST = timedelta(days=1)
_CLOCKS = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Those that fit everything given: their state, a step of a kind, accepted at or after, and before."""

    state: JobState | None = None
    kind: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def listed(tx: Tx, chosen: JobFilter, *, before: JobId | None, limit: int) -> tuple[list[JobId], JobId | None]:
    """At most `limit` ids, newest first, from below `before`; and below which the next page begins, if there is one.

    A rare kind is not searched for among all jobs at once: a page may hold few, or none, and yet not be the last.
    """
    fitting = _conditions(tx, chosen, before)
    asked: Any = select(jobs.c.id).where(*fitting).order_by(jobs.c.id.desc())
    if chosen.kind is not None:
        searched = asked.limit(SEARCHED).subquery()
        kinds = select(steps.c.kind).where(steps.c.tenant_id == tx.tenant_id, steps.c.job_id == searched.c.id)
        # Asked of one job after the other, so that the search ends when enough are found.
        has_kind = literal(chosen.kind) == any_(func.array(kinds.scalar_subquery()))
        asked = select(searched.c.id).where(has_kind).order_by(searched.c.id.desc())
    found = [JobId(job_id) for (job_id,) in tx.execute(asked.limit(limit + 1))]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, None if chosen.kind is None else _last_searched(tx, fitting)


def _last_searched(tx: Tx, fitting: list[ColumnElement[bool]]) -> JobId | None:
    """The job with which the search ended, if there were more."""
    asked = select(jobs.c.id).where(*fitting).order_by(jobs.c.id.desc()).offset(SEARCHED - 1).limit(1)
    last = tx.execute(asked).scalar_one_or_none()
    return None if last is None else JobId(last)


def _conditions(tx: Tx, chosen: JobFilter, before: JobId | None) -> list[ColumnElement[bool]]:
    """All but the kind. Times are said of ids as well, roughly, since these have an index."""
    made: list[ColumnElement[bool]] = [jobs.c.tenant_id == tx.tenant_id]
    if chosen.state is not None:
        made.append(jobs.c.state == chosen.state.value)
    if before is not None:
        made.append(jobs.c.id < before)
    if (since := chosen.created_after) is not None:
        made += [jobs.c.created_at >= since, jobs.c.id >= _id(since, -_LONGEST_REQUEST)]
    if (until := chosen.created_before) is not None:
        made += [jobs.c.created_at < until, jobs.c.id < _id(until, _CLOCKS)]
    return made


def _id(at: datetime, by: timedelta) -> str:
    try:
        return least_id("job", at + by)
    except OverflowError:  # at the ends of the calendar
        return least_id("job", at)
