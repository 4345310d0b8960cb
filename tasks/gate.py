"""Whether a step that calls a third party may go now: asked before it is claimed, so that to wait costs no attempt."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from storage import holds, jobs
from storage.database import Tx
from storage.holds import Queued
from storage.model import JobId, Json, StepId, TenantId
from storage.telemetry.metrics import CALLS_HELD
from tasks import expressions
from tasks.addresses import parse_url
from tasks.budget import Held
from tasks.names import Kind
from tasks.passage import Passage
from tasks.process import Process
from tasks.scope import scope_of

log = logging.getLogger(__name__)

SLACK_SECONDS = 15.0  # a permit outlives the time limit of its call by this, should its holder die
_ORIGIN = re.compile(r"[^:/?#]*://[^/?#]*")


@contextmanager
def passing(process: Process, kind: Kind, tenant: TenantId, job: JobId, step: StepId) -> Iterator[Passage | None]:
    """The passage of a step, which ends with the block; None if it was put off, or is not queued.

    Raises DatabaseUnavailable.
    """
    if not kind.call_seconds:
        yield Passage()
        return
    with process.database.read(tenant) as tx:
        queued = holds.look(tx, job, step)
        host = None if queued is None else _host(tx, job, step, queued)
    if queued is None:
        log.info("step.not_claimed step=%s", step)
        yield None
        return
    if host is None:
        yield Passage()  # the step itself says what is wrong with its address
        return
    entry = process.budget.enter(tenant, host, hold_seconds=_longest(kind, queued.params) + SLACK_SECONDS)
    if isinstance(entry, Held) and _is_too_late(kind, queued, entry.seconds):
        yield Passage(late=entry)
        return
    if isinstance(entry, Held):
        CALLS_HELD.add(entry.code)
        with process.database.read(tenant) as tx:
            holds.hold(tx, job, step, seconds=entry.seconds, reason=entry.reason)
        told = (tenant, job, step, host, entry.code, entry.seconds)
        log.info("step.held tenant=%s job=%s step=%s host=%s code=%s seconds=%.2f", *told)
        yield None
        return
    passage, began = Passage(permit=entry), time.monotonic()
    try:
        yield passage
    finally:
        taken = passage.seconds or time.monotonic() - began
        process.budget.leave(entry, passage.went, seconds=taken, retry_after=passage.retry_after)


def host_of(url: str) -> str | None:
    """The URL's "name:port", under which budgets are kept; None if nobody can be called there.

    It is read as the guard reads it: one host is one budget in every spelling, and no name is longer than names are.
    """
    origin = _ORIGIN.match(url)
    try:
        target = parse_url(origin[0] if origin else "")
    except ValueError:
        return None
    return f"{target.host}:{target.port}"


def _host(tx: Tx, job: JobId, step: StepId, queued: Queued) -> str | None:
    url = queued.params.get("url")
    if not isinstance(url, str):
        return None
    if url.startswith("{{") or "{{" in url.partition("://")[2].partition("/")[0]:
        used, facts = holds.used_by(tx, job, queued), jobs.facts(tx, job)
        try:
            scope = scope_of(used, facts, step=step, name=queued.name, attempt=queued.attempt + 1)
            url = expressions.render_url(url, scope)
        except expressions.ExpressionFailed:
            return None
    return host_of(url)


def _longest(kind: Kind, params: Json) -> float:
    """Seconds for which the step may need its place at most, by its parameters or its kind.

    One that moves files besides its call may need all of its time: a permit that has freed itself teaches nothing.
    """
    answer, timeout = params.get("answer"), params.get("timeout")
    is_stored = isinstance(answer, dict) and answer.get("store_as") == "output"
    if kind.makes_files or is_stored or params.get("file") is not None:
        return kind.time_limit
    total = timeout.get("total") if isinstance(timeout, dict) else None
    return float(total) if isinstance(total, int | float) else kind.call_seconds


def _is_too_late(kind: Kind, queued: Queued, seconds: float) -> bool:
    """Whether the next attempt could only begin later after the first one than it may."""
    asked = queued.params.get("deadline_seconds")
    deadline = asked if isinstance(asked, int | float) else kind.retry.deadline_seconds
    return queued.tried_seconds is not None and queued.tried_seconds + seconds > deadline
