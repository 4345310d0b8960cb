"""The queue's model against independent truths."""

import math
import random

import numpy as np
import pytest

from scheduler.simulation import chance
from scheduler.simulation.book import ARRIVED, GONE, SECONDS, STARTED, WAITED, Book, new_book, with_room
from scheduler.simulation.queue import Seen, Stops, grow, run_on, shrink
from scheduler.simulation.run import run
from scheduler.simulation.trace import Trace
from scheduler.simulation.world import World
from tests.scheduler.simulation import events
from tests.scheduler.simulation.worlds import at_once, fixed, trace_of


def step(book: Book) -> Seen:
    return run_on(book.ints, book.floats, Stops(0), 0)


def change(book: Book, more: int, world: World, now: float) -> Book:
    if more > 0:
        grow(book.desk, book.source, more, world.slots, now, world.startup, world.jitter)
        return book
    book = with_room(book, int(book.desk.counts[GONE]) - more * world.slots)
    shrink(book.desk, -more, world.slots, now)
    return book


def paid(book: Book, now: float) -> float:
    asked = book.desk.asked_at
    return float(book.desk.sums[SECONDS] + (now - asked[asked >= 0]).sum())


@pytest.mark.parametrize("seed", range(12))
def test_jobs_start_when_a_textbook_simulation_starts_them(seed: int) -> None:
    """At each of many small ticks as many jobs have started, and they have waited for as long."""
    dice = random.Random(seed)
    slots, spread = dice.choice([1, 2, 3]), dice.choice([0.5, 1.0, 2.0])
    world = World(slots=slots, service=4.0, spread=spread, startup=7.3, seed=seed)
    trace, tick, most = trace_of(*(dice.choice([0, 10, 40]) for _ in range(4)), step=50.0), 0.25, 4
    arrivals, services = chance.draws(trace, world)
    book, stand, changes = new_book(trace, world, tick, most), 0, []
    seen: list[tuple[float, int, float]] = []
    for number in range(1, 1200):
        step(book)
        seen.append((number * tick, int(book.desk.counts[STARTED]), float(book.desk.sums[WAITED])))
        if dice.random() < 0.05:
            more = dice.randint(0, most) - stand
            if more:
                book, stand = change(book, more, world, number * tick), stand + more
                changes.append((number * tick, more))
    if stand:
        book = change(book, -stand, world, 1199 * tick)
        changes.append((1199 * tick, -stand))
    starts, seconds = events.simulate(arrivals.tolist(), services.tolist(), changes, world.slots, world.startup, 1e9)
    waited = np.concatenate(([0.0], np.cumsum(np.array(starts) - arrivals[: len(starts)])))
    for now, started, waits in seen:
        assert started == sum(start <= now for start in starts)
        assert waits == pytest.approx(waited[started], abs=1e-6)
    assert book.desk.sums[SECONDS] == pytest.approx(seconds, abs=1e-6)


def test_mean_wait_is_what_erlang_says() -> None:
    """M/M/c: A. K. Erlang's formula for the wait of Poisson arrivals at c servers."""
    servers, load = 4, 2.8
    trace = trace_of(*[load * 3600] * 60, step=3600)
    result = run(trace, fixed(2), World(slots=2, service=1.0, startup=0.0))
    below = sum(load**k / math.factorial(k) for k in range(servers))
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    assert result.mean_wait == pytest.approx(top / (below + top) / (servers - load), rel=0.05)
    assert result.utilization == pytest.approx(load / servers, rel=0.02)


def test_constant_times_are_as_by_hand() -> None:
    """The replica is asked for at 5, ready at 15, and free every 10 s; the second row finds it idle."""
    result = run(at_once(3, 2), fixed(1), World(slots=1, service=10.0, spread=0.0))
    assert result.jobs == 5
    assert result.mean_wait == pytest.approx((15 + 25 + 35 + 0 + 10) / 5)
    assert (result.longest, result.share_over) == (35.0, 0.2)
    assert result.p50 == pytest.approx(15, rel=0.01)
    assert result.replica_hours == pytest.approx(595 / 3600)
    assert result.utilization == pytest.approx(50 / 595)


def test_a_replica_is_paid_for_from_its_call_to_its_last_job() -> None:
    world = World(slots=2, service=30.0, spread=0.0, startup=10.0)
    book = new_book(at_once(3, 0), world, 5.0, 3)
    book = change(book, 3, world, 0.0)
    for _ in range(3):
        step(book)
    book = change(book, -1, world, 15.0)  # the idle one: 15 s
    assert book.desk.sums[SECONDS] == 15
    book = change(book, -1, world, 15.0)  # has one job or two, till 40
    assert book.desk.sums[SECONDS] == 15 + 40
    book = change(book, 1, world, 15.0)
    step(book)
    book = change(book, -1, world, 20.0)  # the one that starts: 5 s
    assert book.desk.sums[SECONDS] == 15 + 40 + 5
    assert step(book).running == 3
    assert [step(book).running for _ in range(4)] == [3, 3, 0, 0]
    assert paid(book, 45.0) == 15 + 40 + 5 + 45


def test_no_job_is_lost() -> None:
    trace, world = trace_of(40, 200, 0, 90, step=60), World(service=3.0, slots=2)
    book = new_book(trace, world, 5.0, 4)
    total, dice = len(chance.draws(trace, world)[0]), random.Random(3)
    stand = 0
    for number in range(1, 400):
        seen = step(book)
        ended = int(book.desk.counts[STARTED]) - seen.running
        assert book.desk.counts[ARRIVED] == ended + seen.running + seen.runnable
        more = dice.randint(1, 4) - stand
        if more:
            book, stand = change(book, more, world, number * 5.0), stand + more
    assert (seen.runnable, seen.running, ended) == (0, 0, total)


def test_the_same_seed_gives_the_same_result() -> None:
    trace = trace_of(100, 300, 50)
    same = [run(trace, fixed(2), World(seed=seed)) for seed in (1, 1, 2)]
    assert same[0].mean_wait == same[1].mean_wait != same[2].mean_wait


def test_jobs_that_cannot_be_done_are_counted() -> None:
    result = run(trace_of(4000, 4000), fixed(1), World(service=10.0))
    assert result.unfinished > 0
    assert result.p99 == math.inf
    assert not result.is_good


@pytest.mark.parametrize("tick", [0.5, 2.5, 5.0, 15.0])
def test_a_policy_sees_the_right_numbers(tick: float) -> None:
    trace: Trace = trace_of(300, 20, 0, 0, 100, 0, 0, 0)
    world = World(slots=2, service=4.0, startup=10.0)
    arrivals, services = chance.draws(trace, world)
    book = change(new_book(trace, world, tick, 2), 2, world, 0.0)
    starts, _ = events.simulate(arrivals.tolist(), services.tolist(), [(0.0, 2)], 2, 10.0, 1e9)
    began, ends = np.array(starts), np.array(starts) + services
    for number in range(1, int(2400 / tick)):
        seen, now = step(book), number * tick
        assert seen.runnable == ((arrivals <= now) & (began > now)).sum()
        assert seen.running == ((began <= now) & (ends > now)).sum()
        oldest = arrivals[(arrivals <= now) & (began > now)]
        assert seen.oldest == pytest.approx(now - oldest.min() if len(oldest) else 0.0)
        assert seen.arrivals == pytest.approx(((arrivals > now - 60) & (arrivals <= now)).sum() / 60)
        assert seen.arrivals_5m == pytest.approx(((arrivals > now - 300) & (arrivals <= now)).sum() / 300)
        served = services[(ends > now - 300) & (ends <= now)]
        served = served if len(served) >= 20 else services[(ends > now - 3600) & (ends <= now)]
        assert seen.samples == len(served)
        assert seen.service_mean == pytest.approx(served.mean() if len(served) else 0.0)
        assert seen.service_stddev == pytest.approx(served.std() if len(served) else 0.0, abs=1e-6)
