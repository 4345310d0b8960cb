"""Budgets of calls for tests: kept in memory or in the broker, under a clock that the test turns."""

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from storage.model import TenantId
from tasks.budget import Budget
from tasks.budget_local import Local
from tasks.budget_rules import Held, Limits, Permit, Store, Went
from tasks.budget_shared import Shared

ACME, OTHER = TenantId("ten_acme"), TenantId("ten_other")
HOST = "crm.example:443"
_tokens = itertools.count()


@dataclass(kw_only=True, slots=True)
class Clock:
    """A time that only the test changes."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True, slots=True)
class Calls:
    """A store and its clock, with what most tests do to it."""

    store: Store
    clock: Clock

    def close(self) -> None:
        if isinstance(self.store, Shared):
            self.store.close()

    def ask(self, tenant: TenantId = ACME, host: str = HOST, *, hold: float = 60.0) -> Permit | Held:
        return self.store.enter(Permit(tenant=tenant, host=host, token=f"t{next(_tokens)}"), hold)

    def go(self, tenant: TenantId = ACME, host: str = HOST, *, hold: float = 60.0) -> Permit:
        answer = self.ask(tenant, host, hold=hold)
        assert isinstance(answer, Permit), answer
        return answer

    def wait(self, tenant: TenantId = ACME, host: str = HOST) -> Held:
        answer = self.ask(tenant, host)
        assert isinstance(answer, Held), answer
        return answer

    def call(self, went: Went = Went.WELL, *, seconds: float = 1.0, retry_after: float | None = None) -> Permit:
        """One call from its beginning to its end."""
        permit = self.go()
        self.clock.now += seconds
        self.store.leave(permit, went, seconds=seconds, retry_after=retry_after)
        return permit

    def fail(self, times: int = 5, *, seconds: float = 0.1) -> None:
        for _ in range(times):
            self.call(Went.BADLY, seconds=seconds)

    def free(self, tenant: TenantId = ACME, host: str = HOST) -> int:
        """How many more calls could go."""
        taken = []
        while isinstance(answer := self.ask(tenant, host), Permit):
            taken.append(answer)
        for permit in taken:
            self.store.leave(permit, Went.NEITHER, seconds=0)
        return len(taken)


Make = Callable[[Limits], Calls]
Outcome = Callable[[float], tuple[Went, float]]


def in_memory(limits: Limits, *, jitter: Callable[[], float] = lambda: 0.5) -> Calls:
    clock = Clock()
    return Calls(store=Local(limits, clock=clock, jitter=jitter), clock=clock)


def in_broker(url: str, limits: Limits, *, jitter: Callable[[], float] = lambda: 0.5) -> Calls:
    clock = Clock()
    return Calls(store=Shared(url, limits, clock=clock, jitter=jitter), clock=clock)


class Maker:
    """Makes budgets and closes what it made."""

    def __init__(self) -> None:
        self.closing = contextlib.ExitStack()

    def broker(self, url: str, limits: Limits, *, jitter: Callable[[], float] = lambda: 0.5) -> Calls:
        return self.closing.enter_context(contextlib.closing(in_broker(url, limits, jitter=jitter)))

    def budget(self, url: str | None, limits: Limits) -> Budget:
        return self.closing.enter_context(contextlib.closing(Budget(url, limits)))


@pytest.fixture
def maker() -> Iterator[Maker]:
    """Makes budgets that are closed after the test."""
    made = Maker()
    with made.closing:
        yield made


@pytest.fixture(params=["memory", "broker"])
def make(request: pytest.FixtureRequest, maker: Maker) -> Make:
    """Makes a budget with these limits."""
    if request.param == "memory":
        return in_memory
    url: str = request.getfixturevalue("broker_url")
    return lambda limits: maker.broker(url, limits)


@pytest.fixture
def calls(make: Make) -> Calls:
    return make(Limits(per_host=4, per_tenant=100, all_to_host=100))


@dataclass(kw_only=True, slots=True)
class Played:
    """What became of a number of calls, in the clock's seconds from the first ask on."""

    asks: int = 0
    most_under_way: int = 0
    began: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    ended: float = 0.0
    worked: float = 0.0
    longest_wait: float = 0.0


def play(
    calls: Calls,
    number: int,
    outcome: Callable[[float], tuple[Went, float]],
    *,
    dice: random.Random,
    retry: float = 1.0,
) -> Played:
    """Let so many calls ask at once, and come again when they are told, up to 0.3 s late, until all went well.

    `outcome` tells how a call that begins now (seconds from the start) will go, and how long it takes; one that did not
    go well asks again `retry` seconds later.
    """
    start, played, under_way = calls.clock.now, Played(), 0
    order = itertools.count()
    events: list[tuple[float, int, Permit | None, Went, float]] = [
        (start, next(order), None, Went.WELL, 0.0) for _ in range(number)
    ]
    while events:
        calls.clock.now, _, permit, went, seconds = heapq.heappop(events)
        now = calls.clock.now - start
        if permit is not None:
            under_way -= 1
            calls.store.leave(permit, went, seconds=seconds)
            played.ended = now
            if went is not Went.WELL:
                heapq.heappush(events, (calls.clock.now + retry, next(order), None, Went.WELL, 0.0))
            continue
        played.asks += 1
        answer = calls.ask(hold=600)
        if isinstance(answer, Held):
            played.longest_wait = max(played.longest_wait, answer.seconds)
            again = calls.clock.now + answer.seconds + dice.uniform(0.1, 0.3)
            heapq.heappush(events, (again, next(order), None, Went.WELL, 0.0))
            continue
        under_way += 1
        played.most_under_way = max(played.most_under_way, under_way)
        (played.probes if answer.is_probe else played.began).append(now)
        went, seconds = outcome(now)
        played.worked += seconds
        heapq.heappush(events, (calls.clock.now + seconds, next(order), answer, went, seconds))
    return played
