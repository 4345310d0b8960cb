"""Looks at servers and rows for the overview: all beside each other, nothing for longer than it may take."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from api.service import Service
from storage import cause_rules, diagnosis, probes
from storage.causes import Cause, CauseCode
from storage.diagnosis_model import Facts, HostFacts, Part, Probe, Seen
from storage.errors import StorageError
from tasks.budget_rules import Breaker, BudgetUnreachable, Limits
from tasks.budget_shared import Shared
from tasks.names import Queue

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_SECONDS = 2.0  # however many ask, nobody is asked more often than that
PROBE_SECONDS = 2.0  # a server that has not answered by then is taken to be away
FACTS_SECONDS = 3.0  # rows that come later are told of at the next look,
FACTS_KEPT_SECONDS = 10.0  # unless they are older than this
MOST_HOSTS = 1000  # those that were called last
ADMITTED_SECONDS = 300.0  # after it was found good, a key or sign-in may look on while nobody can be asked
MOST_ADMITTED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen, and the causes that it shows, the worst first."""

    seen: Seen
    causes: list[Cause]


class Lookout:
    """One for each process of the API; make it in the loop that uses it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._threads = CapacityLimiter(4)  # of its own: those of requests may all be waiting for the database
        self._asked: dict[str, asyncio.Task[Any]] = {}
        self._since: dict[Part, datetime] = {}
        self._latest: tuple[float, Look] | None = None
        self._facts: tuple[float, Facts] | None = None
        self._admitted: dict[Hashable, float] = {}
        cache = service.settings.sessions.url
        self._budget = None if cache is None else Shared(cache, Limits())

    async def look(self) -> Look:
        """What is stuck, as of KEPT_SECONDS ago at most. Raises nothing."""
        async with self._lock:
            if self._latest is not None and time.monotonic() - self._latest[0] < KEPT_SECONDS:
                return self._latest[1]
            seen = await self._see()
            look = Look(seen=seen, causes=cause_rules.find(seen))
            self._latest = (time.monotonic(), look)
            return look

    def is_database_away(self) -> bool:
        """Whether it was, when last looked at, which was just now."""
        if self._latest is None or time.monotonic() - self._latest[0] > 2 * KEPT_SECONDS:
            return False
        return any(cause.code is CauseCode.DATABASE_DOWN for cause in self._latest[1].causes)

    def admit(self, who: Hashable) -> None:
        """Remember that this key or sign-in was found good now."""
        if len(self._admitted) >= MOST_ADMITTED:
            del self._admitted[min(self._admitted, key=self._admitted.__getitem__)]
        self._admitted[who] = time.monotonic()

    def forget(self, who: Hashable) -> None:
        """It is not good any more."""
        self._admitted.pop(who, None)

    def was_admitted(self, who: Hashable) -> bool:
        """Whether it was found good within the last ADMITTED_SECONDS."""
        return time.monotonic() - self._admitted.get(who, float("-inf")) < ADMITTED_SECONDS

    def close(self) -> None:
        """Ask no more."""
        for task in self._asked.values():
            task.cancel()
        if self._budget is not None:
            self._budget.close()

    async def _see(self) -> Seen:
        asking: list[Awaitable[Probe]] = [
            self._probe(Part.DATABASE, lambda: self._blocking(partial(probes.database, self._service.database))),
            self._probe(Part.OBJECTS, lambda: probes.objects(self._service.objects)),
        ]
        broker, master = self._service.settings.broker_url, self._service.settings.broker_master
        if broker is not None:
            asking.append(
                self._probe(Part.BROKER, lambda: self._blocking(partial(probes.broker, broker, master=master)))
            )
        probed, facts, hosts = await asyncio.gather(asyncio.gather(*asking), self._read_facts(), self._read_hosts())
        return Seen(at=datetime.now(UTC), facts=facts, probes=self._dated(probed), hosts=hosts)

    async def _probe(self, part: Part, ask: Callable[[], Coroutine[Any, Any, Probe]]) -> Probe:
        return await self._within(part, ask, PROBE_SECONDS) or probes.late(part, PROBE_SECONDS)

    async def _read_facts(self) -> Facts | None:
        """What the rows say, now or a moment ago; None if the database does not tell."""

        async def read() -> Facts | None:
            try:
                facts = await self._blocking(self._facts_now)
            except StorageError as exc:
                log.warning("overview.no_facts reason=%s", exc)
                return None
            self._facts = (time.monotonic(), facts)
            return facts

        await self._within("facts", read, FACTS_SECONDS)
        if self._facts is None or time.monotonic() - self._facts[0] > FACTS_KEPT_SECONDS:
            return None
        return self._facts[1]

    async def _read_hosts(self) -> list[HostFacts] | None:
        """The hosts that are left alone, by the budget of calls; None where that cannot be asked."""
        budget = self._budget
        if budget is None:
            return None
        return await self._within("hosts", lambda: self._blocking(partial(hosts_down, budget)), PROBE_SECONDS)

    async def _within(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T | None:
        """The answer, if it comes in time. One that does not is not asked for again before it has come."""
        task = self._asked.get(name)
        if task is None or task.done():
            task = self._asked[name] = asyncio.create_task(ask())
        await asyncio.wait({task}, timeout=seconds)
        answer: T | None = task.result() if task.done() else None
        return answer

    async def _blocking(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, limiter=self._threads, abandon_on_cancel=True)

    def _facts_now(self) -> Facts:
        with self._service.database.platform_read() as tx:
            return diagnosis.read(tx, Queue)

    def _dated(self, probed: list[Probe]) -> list[Probe]:
        """With the time since when each is in trouble, as far as this process has seen."""
        for probe in probed:
            if not cause_rules.is_trouble(probe):
                self._since.pop(probe.part, None)
            elif probe.part not in self._since:
                self._since[probe.part] = datetime.now(UTC)
        return [replace(probe, since=self._since.get(probe.part)) for probe in probed]


def hosts_down(budget: Shared) -> list[HostFacts] | None:
    """The hosts to which no calls go now, of all tenants; None if the budget cannot be asked. Blocking."""
    try:
        standing = budget.standing(MOST_HOSTS)
    except BudgetUnreachable:
        return None
    down: dict[str, list[float]] = {}
    for one in standing:
        if one.breaker is not Breaker.CLOSED:
            down.setdefault(one.host, []).append(one.probe_in_seconds)
    return [
        HostFacts(host=host, tenants=len(waits), waiting=0, probe_in_seconds=min(waits)) for host, waits in down.items()
    ]
