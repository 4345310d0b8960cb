"""Fills in what Flower did not hear, from the rows."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from celery.events.state import State
from celery.states import READY_STATES

from storage import recent
from storage.database import Database
from storage.errors import StorageError
from storage.model import Outcome
from storage.recent import Recent

log = logging.getLogger(__name__)

ALL_SECONDS = 3600.0
LATEST_SECONDS = 300.0
NEWER_SECONDS = 5.0  # what began so long after the last thing heard of a step is another attempt: clocks differ

_ENDS = {
    Outcome.SUCCEEDED: "task-succeeded",
    Outcome.FAILED: "task-failed",
    Outcome.RETRIED: "task-retried",
    Outcome.LOST: "task-failed",
    Outcome.RETURNED: "task-retried",
    Outcome.CANCELED: "task-revoked",
}


class Memory:
    """What Flower knows of tasks, `state`, beside what the rows know. For the event loop's thread only."""

    def __init__(self, database: Database, state: Any, *, limit: int) -> None:
        self._database = database
        self._state = state
        self._limit = limit

    async def fill_all(self) -> None:
        """Fill in the last hour."""
        await self._fill(ALL_SECONDS)

    async def fill_latest(self) -> None:
        """Fill in the last minutes: the broker may have been away."""
        await self._fill(LATEST_SECONDS)

    async def _fill(self, seconds: float) -> None:
        try:
            found = await asyncio.to_thread(self._read, seconds)
        except StorageError as exc:
            log.warning("flower.not_filled_in reason=%s", exc)
            return
        told = [one for one in found if self._is_news(one)]
        for one in told:
            for event in events_of(one):
                # Not EventsState.event: that would count it in Flower's own /metrics, as if it had happened now.
                State.event(self._state, event)
            self._state.search_engine.upsert(self._state.tasks[one.step_id])
        if told:
            log.info("flower.filled_in attempts=%s", len(told))

    def _read(self, seconds: float) -> Sequence[Recent]:
        with self._database.platform_read() as tx:
            return recent.attempts(tx, seconds=seconds, limit=self._limit)

    def _is_news(self, one: Recent) -> bool:
        task = self._state.tasks.data.get(one.step_id)
        if task is None or task.name is None:
            return True
        if one.started_at.timestamp() > (task.timestamp or 0) + NEWER_SECONDS:
            return True
        return task.state not in READY_STATES and one.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.LOST)


def events_of(one: Recent) -> Iterator[dict[str, Any]]:
    """What a worker would have told of the attempt."""
    began = one.started_at.timestamp()
    common = {
        "uuid": one.step_id,
        "hostname": one.worker.partition("/")[0],
        "clock": 0,
        "local_received": None,
        "retries": one.number - 1,
    }
    kwargs = f"{{'job': '{one.job_id}', 'tenant': '{one.tenant_id}'}}"
    about = {"name": one.kind, "args": "()", "kwargs": kwargs, "routing_key": one.queue}
    yield {**common, **about, "type": "task-received", "timestamp": began}
    yield {**common, "type": "task-started", "timestamp": began}
    if one.outcome is None or one.finished_at is None:
        return
    ended = one.finished_at.timestamp()
    runtime = max(ended - began, 0.0)
    told = {"runtime": runtime} if one.outcome is Outcome.SUCCEEDED else {"exception": one.code or one.outcome.value}
    yield {**common, **told, "type": _ENDS[one.outcome], "timestamp": ended}
