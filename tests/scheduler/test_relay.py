"""The relay against a real broker and a real database."""

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis

from scheduler import relay as relaying
from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from storage import losses, queues, steps, workers
from storage.database import Database
from storage.model import PublicError, TenantId
from storage.publishing import Runnable
from tasks.hinted import steps_of
from tests.documents import CHAIN, ECHO, put_in, take, taken
from tests.scheduler.sent import broker as broker
from tests.scheduler.sent import hints as hints
from tests.scheduler.sent import messages, steps_in
from tests.waiting import until


@pytest.fixture
def running(database: Database, broker: "redis.Redis") -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=relaying.relay, args=(database, stop))
    thread.start()
    yield stop
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_queued_step_is_sent_once_with_ids_only(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    job = put_in(database, tenant)
    assert relaying.publish(database, hints).sent == 1
    assert relaying.publish(database, hints).sent == 0
    [message] = messages(broker)
    headers = message["headers"]
    assert (headers["task"], headers["id"]) == ("echo", job.steps[0].id)
    assert headers["kwargsrepr"] == f"{{'job': '{job.id}', 'tenant': '{tenant}'}}"
    assert headers["timelimit"] == [600, 540]
    assert (headers["eta"], headers["expires"]) == (None, None)
    assert "hello" not in json.dumps(message)


def test_a_submitted_job_wakes_the_relay(
    database: Database, tenant: TenantId, broker: "redis.Redis", running: threading.Event
) -> None:
    jobs = [put_in(database, tenant) for _ in range(20)]
    until(lambda: len(steps_in(broker)) == 20)
    assert set(steps_in(broker)) == {job.steps[0].id for job in jobs}


def test_each_step_goes_to_the_queue_of_its_kind(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    call = {"kind": "http.call", "url": "http://127.0.0.1/"}
    job = put_in(database, tenant, {"steps": {"say": {"kind": "echo"}, "call": call}})
    relaying.publish(database, hints)
    assert [steps_in(broker, queue) for queue in ("default", "calls")] == [[job.steps[0].id], [job.steps[1].id]]


def test_steps_that_wait_for_others_are_not_sent(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    job = put_in(database, tenant, CHAIN)
    relaying.publish(database, hints)
    assert steps_in(broker) == [job.steps[0].id]


def test_urgent_steps_stand_in_a_queue_that_workers_look_into_first(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    for word in ("low", "normal", "high"):
        put_in(database, tenant, ECHO | {"priority": word})
    relaying.publish(database, hints)
    assert [broker.llen(key) for key in ("default", "default\x06\x163", "default\x06\x166")] == [1, 1, 1]


def test_any_number_of_relays_send_each_step_once(database: Database, tenant: TenantId, broker: "redis.Redis") -> None:
    jobs = [put_in(database, tenant) for _ in range(50)]
    senders = [Hints() for _ in range(4)]
    threads = [threading.Thread(target=relaying.publish, args=(database, sender)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread, sender in zip(threads, senders, strict=True):
        thread.join()
        sender.close()
    assert sorted(steps_in(broker)) == sorted(job.steps[0].id for job in jobs)


def test_nothing_is_marked_as_sent_when_the_broker_is_away(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch, servers: Any
) -> None:
    put_in(database, tenant)
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    away = Hints()
    with pytest.raises(BrokerUnavailable):
        relaying.publish(database, away)
    away.close()
    monkeypatch.setenv("CELERY_BROKER_URL", servers.broker)
    back = Hints()
    assert relaying.publish(database, back).sent == 1
    back.close()


def test_a_retry_is_sent_when_its_time_has_come_and_not_before(
    database: Database, tenant: TenantId, broker: "redis.Redis", running: threading.Event
) -> None:
    job = put_in(database, tenant)
    until(lambda: len(steps_in(broker)) == 1)
    claim = taken(database, tenant, job, "say")
    broker.flushall()
    with database.begin(tenant) as tx:
        steps.retry(tx, claim, PublicError(code="x", message="y"), delay_seconds=0.4)
        due = tx.sql("SELECT run_at FROM steps WHERE tenant_id = %(tenant)s").scalar_one()
    until(lambda: len(steps_in(broker)) == 1)

    def sent() -> Any:  # the hint is out before the mark is there for others to see
        with database.platform() as platform:
            return platform.sql("SELECT published_at FROM steps").scalar_one()

    assert until(sent) >= due


def test_a_queue_of_the_broker_holds_no_more_than_its_window_and_the_most_urgent_go_first(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "WINDOW", 3)
    late = [put_in(database, tenant, ECHO | {"priority": "low"}) for _ in range(5)]
    soon = [put_in(database, tenant) for _ in range(2)]
    assert relaying.publish(database, hints) == relaying.Published(sent=3)
    assert set(steps_in(broker)) == {job.steps[0].id for job in (*soon, late[0])}
    assert relaying.publish(database, hints) == relaying.Published(sent=0)
    taken(database, tenant, soon[0], "say")
    assert relaying.publish(database, hints) == relaying.Published(sent=1)


def test_a_queue_whose_window_is_full_is_left_alone_for_a_moment_and_others_are_not(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "WINDOW", 2)
    monkeypatch.setattr(relaying, "FULL_SECONDS", 60)
    monkeypatch.setattr(relaying, "STILL_SECONDS", 120)
    first, *_ = [put_in(database, tenant) for _ in range(4)]
    full = relaying.Full()
    assert full.seconds() is None
    assert relaying.publish(database, hints, full).sent == 2
    assert 50 < (full.seconds() or 0) <= 60
    taken(database, tenant, first, "say")
    call = put_in(database, tenant, {"steps": {"call": {"kind": "http.call", "url": "http://127.0.0.1/"}}})
    assert relaying.publish(database, hints, full).sent == 1
    assert steps_in(broker, "calls") == [call.steps[0].id]
    full.note("default", seconds=0)
    assert full.seconds() == 0  # until it has been looked at, however late that is
    assert relaying.publish(database, hints, full).sent == 1
    full.note("default", seconds=0)
    assert relaying.publish(database, hints, full).sent == 0
    assert 60 < (full.seconds() or 0) <= 120  # nothing was taken


def test_nothing_is_sent_from_a_paused_queue_and_everything_when_it_goes_on(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    sent, later = put_in(database, tenant), put_in(database, tenant)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = now() WHERE job_id = %(job)s", job=sent.id)
        queues.pause(tx, "default")
    assert relaying.publish(database, hints).sent == 0
    assert take(database, tenant, sent, "say") is None  # its hint is used up by that
    with database.platform() as tx:
        queues.resume(tx, "default")
    assert relaying.publish(database, hints).sent == 2
    assert set(steps_in(broker)) == {job.steps[0].id for job in (sent, later)}


def test_a_queue_that_this_version_does_not_know_holds_up_nothing(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    jobs = [put_in(database, tenant) for _ in range(5)]
    with database.platform() as tx:
        tx.sql("UPDATE steps SET queue = 'of-tomorrow' WHERE job_id = %(job)s", job=jobs[2].id)
    relaying.publish(database, hints)
    relaying.publish(database, hints)
    assert len(steps_in(broker)) == 4


def test_a_worker_that_is_quicker_than_the_relays_commit_finds_the_step_queued(
    database: Database, tenant: TenantId, broker: "redis.Redis"
) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.retry(tx, claim, PublicError(code="x", message="y"), delay_seconds=0)
    claims = []

    class QuickWorker(Hints):
        def send(self, steps: Sequence[Runnable]) -> None:
            # In a thread: the claim waits for the relay's commit, which comes after this.
            claims.append(ThreadPoolExecutor(1).submit(take, database, tenant, job, "say"))
            with database.platform_read() as tx:
                until(lambda: tx.sql(BLOCKED).scalar_one())

    relaying.publish(database, QuickWorker())
    taken_again = claims[0].result()
    assert taken_again is not None
    assert taken_again.attempt == 2


BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_a_step_that_lost_its_worker_goes_before_the_backlog(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, *_ = [put_in(database, tenant) for _ in range(6)]
    monkeypatch.setattr(relaying, "WINDOW", 2)
    relaying.publish(database, hints)
    claim = taken(database, tenant, lost, "say", lease_seconds=0)
    with database.begin(tenant) as tx:
        assert losses.lose(tx, claim, PublicError(code="x", message="y"), only_if_expired=True)
    broker.delete("default", "default\x06\x163")
    assert relaying.publish(database, hints).sent == 1
    assert steps_in(broker) == [lost.steps[0].id]
    assert broker.llen("default") == 1  # the list of the highest priority


def test_small_steps_that_wait_in_numbers_share_hints_and_no_hint_is_shared_with_one_that_lost_its_worker(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    jobs = [put_in(database, tenant) for _ in range(40)]
    with database.platform() as tx:
        tx.sql("UPDATE steps SET losses = 1 WHERE id = %(step)s", step=jobs[20].steps[0].id)
    relaying.publish(database, hints)
    raw = [json.loads(item) for item in cast(list[bytes], broker.lrange("default", 0, -1))]
    assert [message["headers"]["id"] for message in raw] == [jobs[20].steps[0].id]
    sizes = [len(steps_of(json.loads(base64.b64decode(message["body"]))[1])) for message in messages(broker)]
    assert sorted(sizes) == [1, 9, 10, 10, 10]
    assert steps_in(broker)[:4] == [jobs[20].steps[0].id, *(job.steps[0].id for job in jobs[:3])]
    shown = [message["headers"]["kwargsrepr"] for message in messages(broker)]
    assert shown[1] == f"{{'job': '{jobs[0].id}', 'tenant': '{tenant}', 'steps': '9'}}"


def test_small_steps_gather_while_enough_are_sent_but_not_for_long_nor_behind_urgent_ones(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "GATHER_SECONDS", 60.0)
    for _ in range(relaying.ENOUGH):
        put_in(database, tenant)
    assert relaying.publish(database, hints).sent == relaying.ENOUGH
    waits = put_in(database, tenant)
    call = put_in(database, tenant, {"steps": {"call": {"kind": "http.call", "url": "http://127.0.0.1/"}}})
    assert relaying.publish(database, hints) == relaying.Published(sent=1, is_held=True)
    assert steps_in(broker, "calls") == [call.steps[0].id]
    put_in(database, tenant, ECHO | {"priority": "high"})
    assert relaying.publish(database, hints) == relaying.Published(sent=2)
    put_in(database, tenant)
    assert relaying.publish(database, hints).is_held
    with database.platform() as tx:
        tx.sql("UPDATE steps SET run_at = run_at - interval '61 seconds' WHERE published_at IS NULL")
    assert relaying.publish(database, hints) == relaying.Published(sent=1)
    assert waits.steps[0].id in steps_in(broker)


@pytest.mark.parametrize(("slots", "is_held"), [(2, True), (20, False)])
def test_small_steps_are_shared_out_to_the_slots_and_two_for_each_hold_others_back(
    database: Database,
    tenant: TenantId,
    broker: "redis.Redis",
    hints: Hints,
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
    is_held: bool,
) -> None:
    monkeypatch.setattr(relaying, "GATHER_SECONDS", 60.0)
    with database.platform() as tx:
        workers.seen(tx, "w1", queues=["default"], slots=slots, for_seconds=60)
    for _ in range(30):
        put_in(database, tenant)
    assert relaying.publish(database, hints) == relaying.Published(sent=30)
    assert len(messages(broker)) == slots
    for _ in range(60):
        put_in(database, tenant)
    assert relaying.publish(database, hints) == relaying.Published(sent=0 if is_held else 60, is_held=is_held)
    assert len(messages(broker)) == (slots if is_held else 2 * slots)
