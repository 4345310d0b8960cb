"""The numbers of the queues: always what the steps say, folded or not, whoever else is at work."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage import counts, journal, publishing, queues, replays, retention, steps, stops, workers
from storage.counts import QueueCounts
from storage.database import Database
from storage.model import Job, PublicError, TenantId
from tests.documents import CHAIN, ECHO, put_in, taken
from tests.storage import numbers

BOOM = PublicError(code="boom", message="it broke")
HIGH, NORMAL, LOW = 0, 3, 6


@pytest.fixture(params=["in the journal", "folded"])
def settled(request: pytest.FixtureRequest, database: Database) -> Callable[[], None]:
    """Call it before a look at the numbers: they must not depend on whether the journal was folded."""

    def settle() -> None:
        if request.param == "folded":
            fold(database)

    return settle


def fold(database: Database) -> int:
    with database.platform() as tx:
        return journal.fold(tx, limit=100_000)


def look(database: Database, queue: str = "default") -> QueueCounts:
    numbers.check(database)
    with database.platform_snapshot() as tx:
        return counts.read(tx, [queue])[queue]


def put(database: Database, tenant: TenantId, priority: str = "normal") -> Job:
    return put_in(database, tenant, {**ECHO, "priority": priority})


def end(database: Database, tenant: TenantId, job: Job, *, after_seconds: float = 0.0) -> None:
    """Take the job's step and let it succeed as one that took so long."""
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        back = "UPDATE steps SET started_at = started_at - make_interval(secs => %(seconds)s) WHERE id = %(step)s"
        tx.sql(back, seconds=after_seconds, step=claim.step_id)
        steps.succeed(tx, claim, {})


def test_every_priority_counts(database: Database, tenant: TenantId, settled: Callable[[], None]) -> None:
    for priority, number in (("normal", 10), ("low", 30), ("high", 1)):
        for _ in range(number):
            put(database, tenant, priority)
    settled()
    found = look(database)
    assert found.load.runnable == 41
    assert {rank: load.runnable for rank, load in found.by_priority.items()} == {HIGH: 1, NORMAL: 10, LOW: 30}


def test_what_is_due_in_an_hour_is_not_runnable(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    for _ in range(5):
        claim = taken(database, tenant, put(database, tenant), "say")
        with database.begin(tenant) as tx:
            steps.retry(tx, claim, BOOM, delay_seconds=3600)
    settled()
    found = look(database).load
    assert (found.runnable, found.retrying, found.oldest_seconds) == (0, 5, None)


def test_what_is_due_is_runnable_even_before_the_relay_has_seen_it(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    claim = taken(database, tenant, put(database, tenant), "say")
    with database.begin(tenant) as tx:
        steps.retry(tx, claim, BOOM, delay_seconds=0)
    settled()
    found = look(database).load
    assert (found.runnable, found.retrying) == (1, 0)
    assert found.oldest_seconds is not None


def test_what_runs_and_what_workers_hold_back_both_count(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    jobs = [put(database, tenant) for _ in range(8)]
    with database.platform() as tx:
        assert len(publishing.take_to_publish(tx, "default", limit=100)) == 8
    for job in jobs[:2]:
        taken(database, tenant, job, "say")
    settled()
    found = look(database).load
    assert (found.running, found.runnable) == (2, 6)


def test_a_mixture_is_counted_state_by_state(database: Database, tenant: TenantId, settled: Callable[[], None]) -> None:
    chain = put_in(database, tenant, CHAIN)
    taken(database, tenant, chain, "first")
    retried, failed, canceled, deleted = (put(database, tenant) for _ in range(4))
    for job, delay in ((retried, 60.0), (failed, None)):
        claim = taken(database, tenant, job, "say")
        with database.begin(tenant) as tx:
            steps.fail(tx, claim, BOOM) if delay is None else steps.retry(tx, claim, BOOM, delay_seconds=delay)
    with database.begin(tenant) as tx:
        stops.cancel(tx, canceled.id)
        stops.cancel(tx, deleted.id)
        retention.delete(tx, deleted.id)
    settled()
    found = look(database).load
    assert (found.runnable, found.running, found.waiting, found.retrying) == (0, 1, 2, 1)
    with database.begin(tenant) as tx:
        replays.retry(tx, failed.id, whole=False)
    assert look(database).load.runnable == 1


@pytest.mark.parametrize("sent", ["nothing", "the younger", "the older", "both"])
def test_the_oldest_is_found_wherever_its_hint_is(database: Database, tenant: TenantId, sent: str) -> None:
    with database.platform() as tx:
        for seconds, name in ((500, "older"), (100, "younger")):
            job = put(database, tenant, "low" if name == "older" else "high")
            is_sent = sent in (f"the {name}", "both")
            tx.sql(
                "UPDATE steps SET run_at = now() - make_interval(secs => %(seconds)s),"
                " published_at = CASE WHEN %(sent)s THEN now() END WHERE job_id = %(job)s",
                seconds=seconds,
                sent=is_sent,
                job=job.id,
            )
    found = look(database)
    assert found.load.oldest_seconds == pytest.approx(500, abs=10)
    assert found.by_priority[HIGH].oldest_seconds == pytest.approx(100, abs=10)


def test_rates_are_per_second_over_one_minute_and_five(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    for number in range(60):
        job = put(database, tenant)
        if number < 30:
            end(database, tenant, job)
    with database.platform() as tx:
        tx.sql("UPDATE step_changes SET at = at - interval '2 minutes' WHERE became = 'succeeded'")
    settled()
    found = look(database).load
    assert found.arrivals_1m == pytest.approx(60 / 57.5, rel=0.05)  # of whole intervals: 55 to 60 s
    assert found.arrivals_5m == pytest.approx(60 / 297.5, rel=0.01)
    assert found.completions_1m == 0
    assert found.completions_5m == pytest.approx(30 / 297.5, rel=0.01)


def test_service_times_are_those_of_attempts_that_ended(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    for number in range(100):
        end(database, tenant, put(database, tenant), after_seconds=10.0 if number >= 90 else 1.0)
    settled()
    service = look(database).load.service
    assert service is not None
    assert service.attempts == 100
    assert service.mean_seconds == pytest.approx(1.9, abs=0.1)
    assert service.stddev_seconds == pytest.approx(2.7, abs=0.1)
    assert service.p95_seconds == pytest.approx(10, rel=0.06)


def test_a_lost_attempt_says_nothing_of_how_long_one_takes(database: Database, tenant: TenantId) -> None:
    taken(database, tenant, put(database, tenant), "say", lease_seconds=0)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET state = 'queued', published_at = NULL WHERE state = 'running'")
    found = look(database).load
    assert (found.runnable, found.running, found.service) == (1, 0, None)


def test_few_recent_attempts_are_helped_by_those_of_the_last_hour(
    database: Database, tenant: TenantId, settled: Callable[[], None]
) -> None:
    for _ in range(counts.ENOUGH):
        end(database, tenant, put(database, tenant), after_seconds=1.0)
    with database.platform() as tx:
        tx.sql("UPDATE step_changes SET at = at - interval '20 minutes'")
    end(database, tenant, put(database, tenant), after_seconds=3.1)
    settled()
    service = look(database).load.service
    assert service is not None
    assert (service.attempts, round(service.mean_seconds, 1)) == (counts.ENOUGH + 1, 1.1)
    for _ in range(counts.ENOUGH):
        end(database, tenant, put(database, tenant), after_seconds=3.1)
    settled()
    service = look(database).load.service
    assert service is not None
    assert (service.attempts, round(service.mean_seconds, 1)) == (counts.ENOUGH + 1, 3.1)


def test_slots_are_those_of_workers_that_live_and_go_on(database: Database) -> None:
    with database.platform() as tx:
        for name, seconds in (("a@one/h/1/x", 30), ("a@two/h/2/x", 30), ("a@dead/h/3/x", -1)):
            workers.seen(tx, name, queues=["default", "calls"], slots=3, for_seconds=seconds)
    assert (look(database).workers, look(database).slots) == (2, 6)
    with database.platform() as tx:
        workers.seen(tx, "a@two/h/2/x", queues=["default"], slots=3, for_seconds=30, stopping=True)
        assert [(w.replica, w.stopping, w.running) for w in workers.living(tx)] == [
            ("one", False, 0),
            ("two", True, 0),
        ]
        workers.gone(tx, "a@two/h/2/x")
    assert (look(database, "calls").workers, look(database, "calls").slots) == (1, 3)
    assert look(database, "ai").slots == 0


def test_a_worker_is_as_busy_as_it_has_steps(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        workers.seen(tx, "a@one/h/1/x", queues=["default"], slots=3, for_seconds=30)
    for _ in range(2):
        taken(database, tenant, put(database, tenant), "say", worker="a@one/h/1/x")
    with database.platform_read() as tx:
        assert [worker.running for worker in workers.living(tx)] == [2]


def test_a_paused_queue_says_since_when(database: Database) -> None:
    with database.platform() as tx:
        queues.pause(tx, "default")
    assert look(database).paused_at is not None
    assert look(database, "calls").paused_at is None


def test_the_numbers_are_right_at_every_moment_of_a_bustle(database: Database, tenant: TenantId) -> None:
    done = threading.Event()

    def work(number: int) -> None:
        for turn in range(12):
            job = put(database, tenant, ("high", "normal", "low")[(number + turn) % 3])
            claim = taken(database, tenant, job, "say")
            with database.begin(tenant) as tx:
                if turn % 3:
                    steps.succeed(tx, claim, {})
                else:
                    steps.retry(tx, claim, BOOM, delay_seconds=turn % 2 * 100)

    def watch() -> int:
        looks = 0
        while not done.is_set():
            numbers.check(database)
            looks += 1
        return looks

    def folding() -> int:
        folded = 0
        while not done.is_set():
            folded += fold(database)
        return folded

    with ThreadPoolExecutor(4) as pool:
        watching, folded = pool.submit(watch), pool.submit(folding)
        for worker in [pool.submit(work, number) for number in range(2)]:
            worker.result()
        done.set()
        assert watching.result() > 3
        assert folded.result() + fold(database) >= 2 * 12 * 3
    numbers.check(database)


def test_counters_that_were_restored_wrong_are_set_right(database: Database, tenant: TenantId) -> None:
    put(database, tenant)
    taken(database, tenant, put(database, tenant, "low"), "say")
    fold(database)
    with database.platform() as tx:
        tx.sql("UPDATE step_counts SET queued = 7 WHERE priority = 3")
        tx.sql("DELETE FROM step_counts WHERE priority = 6")
    put(database, tenant)
    with database.platform() as tx:
        corrected = {(one.priority, one.state, one.steps) for one in journal.correct(tx)}
    assert corrected == {(NORMAL, "queued", -6), (LOW, "running", 1)}
    numbers.check(database)
    with database.platform() as tx:
        assert not journal.correct(tx)


def test_what_is_due_soon_is_known_beforehand(database: Database, tenant: TenantId) -> None:
    delays: list[Any] = [5, 5, 100, 4000]
    for delay in delays:
        claim = taken(database, tenant, put(database, tenant), "say")
        with database.begin(tenant) as tx:
            steps.retry(tx, claim, BOOM, delay_seconds=delay)
    with database.platform_read() as tx:
        soon = counts.due_soon(tx, within_seconds=600)
    assert [(due.queue, due.steps) for due in soon] == [("default", 2), ("default", 1)]
    assert 3 <= soon[0].in_seconds <= 5
