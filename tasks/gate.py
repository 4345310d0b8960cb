"""Whether a step that calls a third party may go now: asked before it is claimed, so that to wait costs no attempt."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from storage import holds, jobs
from storage.database import Tx
from storage.holds import Queued
from storage.model import JobId, Json, StepId, TenantId
from tasks import expressions
from tasks.budget import Held
from tasks.names import Kind
from tasks.passage import Passage
from tasks.process import Process
from tasks.scope import scope_of

log = logging.getLogger(__name__)

SLACK_SECONDS = 15.0  # a permit outlives the time limit of its call by this, should its holder die
_PORTS = {"http": 80, "https": 443}


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
        yield None
        return
    if host is None:
        yield Passage()  # the step itself says what is wrong with its address
        return
    entry = process.budget.enter(tenant, host, hold_seconds=_longest(kind, queued.params) + SLACK_SECONDS)
    if isinstance(entry, Held):
        with process.database.read(tenant) as tx:
            holds.hold(tx, job, step, seconds=entry.seconds, reason=entry.reason)
        log.info("step.held step=%s host=%s code=%s seconds=%.2f", step, host, entry.code, entry.seconds)
        yield None
        return
    passage, began = Passage(permit=entry), time.monotonic()
    try:
        yield passage
    finally:
        taken = passage.seconds or time.monotonic() - began
        process.budget.leave(entry, passage.went, seconds=taken, retry_after=passage.retry_after)


def host_of(url: str) -> str | None:
    """The URL's "name:port", under which budgets are kept; None if it is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    return f"{parts.hostname.rstrip('.')}:{port}"


def _host(tx: Tx, job: JobId, step: StepId, queued: Queued) -> str | None:
    url = queued.params.get("url")
    if not isinstance(url, str):
        return None
    if url.startswith("{{") or "{{" in url.partition("://")[2].partition("/")[0]:
        used = holds.used_by(tx, job, queued)
        try:
            url = expressions.render_url(url, scope_of(used, jobs.facts(tx, job), step=step, name=queued.name))
        except expressions.ExpressionFailed:
            return None
    return host_of(url)


def _longest(kind: Kind, params: Json) -> float:
    """Seconds for which the call may last at most, by its parameters or its kind."""
    timeout = params.get("timeout")
    total = timeout.get("total") if isinstance(timeout, dict) else None
    return float(total) if isinstance(total, int | float) else kind.call_seconds
