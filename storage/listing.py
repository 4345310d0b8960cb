"""Which of a tenant's jobs a listing shows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, any_, func, literal, select

from storage.batch_ids import BatchId
from storage.database import Tx
from storage.ids import least_id
from storage.model import JobId, JobState
from storage.tables import jobs, steps

SEARCHED = 5_000  # jobs that one page looks through for those with a step of a kind: at most 0.03 s,
WALKED = 10_000  # or for those of a time, where their ids say only roughly when they were made: about the same

# A job's id is made when its request begins, its row when its file is there; and clocks differ.
_LONGEST_REQUEST = timedelta(days=1)
_CLOCKS = timedelta(minutes=1)


_KINDS = """
SELECT job_id, array_agg(DISTINCT kind ORDER BY kind) AS kinds FROM steps
WHERE tenant_id = %(tenant)s AND job_id = ANY(%(ids)s) GROUP BY job_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Those that fit everything given: their state, their batch, a step of a kind, accepted at or after, and before."""

    state: JobState | None = None
    batch: BatchId | None = None
    kind: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def listed(tx: Tx, chosen: JobFilter, *, before: JobId | None, limit: int) -> tuple[list[JobId], JobId | None]:
    """At most `limit` ids, newest first, from below `before`; and below which the next page begins, if there is one.

    What no index tells is not searched for among all jobs at once: with a kind or a time a page may hold few, or none,
    and yet not be the last.
    """
    near = _by_index(tx, chosen, before)
    most = WALKED if chosen.kind is None else SEARCHED
    walked = select(jobs.c.id, jobs.c.created_at).where(*near).order_by(_newest_first(chosen))
    asked: Any = walked.limit(limit + 1)
    searches = (chosen.kind, chosen.created_after, chosen.created_before) != (None, None, None)
    if searches:
        searched = walked.limit(most).subquery()
        asked = select(searched.c.id).where(*_exactly(tx, chosen, searched.c)).order_by(searched.c.id.desc())
    found = [JobId(row.id) for row in tx.execute(asked.limit(limit + 1))]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, _last(tx, walked, most) if searches else None


def kinds_of(tx: Tx, job_ids: Collection[JobId]) -> Mapping[JobId, Sequence[str]]:
    """The kinds of the jobs' steps, each once, by name: one look into an index for each job."""
    found = tx.sql(_KINDS, ids=list(job_ids))
    return {JobId(row.job_id): row.kinds for row in found}


def _last(tx: Tx, walked: Any, most: int) -> JobId | None:
    """The job with which the search ended, if there were more."""
    last = tx.execute(walked.with_only_columns(jobs.c.id).offset(most - 1).limit(1)).scalar_one_or_none()
    return None if last is None else JobId(last)


def _newest_first(chosen: JobFilter) -> ColumnElement[Any]:
    """All of a batch are sorted: to walk along all jobs for those of an old one would take as many looks as jobs."""
    return jobs.c.id.desc() if chosen.batch is None or chosen.state is not None else (jobs.c.id + literal("")).desc()


def _by_index(tx: Tx, chosen: JobFilter, before: JobId | None) -> list[ColumnElement[bool]]:
    """What an index answers. Times are said of ids, roughly, since these have one."""
    made: list[ColumnElement[bool]] = [jobs.c.tenant_id == tx.tenant_id]
    if chosen.state is not None:
        made.append(jobs.c.state == chosen.state.value)
    if chosen.batch is not None:
        made.append(jobs.c.batch_id == chosen.batch)
    if before is not None:
        made.append(jobs.c.id < before)
    if chosen.created_after is not None:
        made.append(jobs.c.id >= _id(chosen.created_after, -_LONGEST_REQUEST))
    if chosen.created_before is not None:
        made.append(jobs.c.id < _id(chosen.created_before, _CLOCKS))
    return made


def _exactly(tx: Tx, chosen: JobFilter, searched: Any) -> list[ColumnElement[bool]]:
    """What is asked of one job after the other, so that the search ends when enough are found."""
    made: list[ColumnElement[bool]] = []
    if chosen.created_after is not None:
        made.append(searched.created_at >= chosen.created_after)
    if chosen.created_before is not None:
        made.append(searched.created_at < chosen.created_before)
    if chosen.kind is not None:
        kinds = select(steps.c.kind).where(steps.c.tenant_id == tx.tenant_id, steps.c.job_id == searched.id)
        made.append(literal(chosen.kind) == any_(func.array(kinds.scalar_subquery())))
    return made


def _id(at: datetime, by: timedelta) -> str:
    try:
        return least_id("job", at + by)
    except OverflowError:  # at the ends of the calendar
        return least_id("job", at)
