"""What is alone in its queue is sent before the relay asks for anything else."""

import threading
import time
from typing import Any

import pytest
import redis

from scheduler import relay as relaying
from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from storage import queues
from storage.database import Database
from storage.events import READY_CHANNEL
from storage.model import TenantId
from tests.documents import ECHO, put_in, taken
from tests.scheduler.sent import broker as broker
from tests.scheduler.sent import hints as hints
from tests.scheduler.sent import steps_in
from tests.waiting import until

CALL = {"steps": {"call": {"kind": "http.call", "url": "http://127.0.0.1/"}}}


def test_one_step_of_each_queue_is_sent_once(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    echo, call = put_in(database, tenant), put_in(database, tenant, CALL)
    assert relaying.publish_lone(database, hints) == 2
    assert relaying.publish_lone(database, hints) == 0
    assert relaying.publish(database, hints).sent == 0
    assert [steps_in(broker, queue) for queue in ("default", "calls")] == [[echo.steps[0].id], [call.steps[0].id]]


def test_of_several_none_is_alone_whether_sent_or_not(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    jobs = [put_in(database, tenant, ECHO) for _ in range(2)]
    assert relaying.publish_lone(database, hints) == 0
    assert relaying.publish(database, hints).sent == 2
    third = put_in(database, tenant)
    assert relaying.publish_lone(database, hints) == 0, "two are sent, and nobody has taken them"
    for job in jobs:
        taken(database, tenant, job, "say")
    assert relaying.publish_lone(database, hints) == 1
    assert steps_in(broker)[-1] == third.steps[0].id


def test_nothing_of_a_paused_queue_is_sent(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    put_in(database, tenant)
    with database.platform() as tx:
        queues.pause(tx, "default")
    assert relaying.publish_lone(database, hints) == 0
    assert steps_in(broker) == []


def test_without_the_broker_it_stays_as_it_was(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(database, tenant)

    def away(_groups: object) -> None:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(hints, "send_all", away)
        assert relaying.publish_lone(database, hints) == 0
    assert relaying.publish_lone(database, hints) == 1


def test_a_relay_that_is_woken_for_nothing_lets_further_announcements_come(
    database: Database, tenant: TenantId, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.platform() as tx:
        queues.pause(tx, "default")
    passes: list[float] = []
    publish = relaying.publish

    def counted(*given: Any) -> relaying.Published:
        passes.append(time.monotonic())
        return publish(*given)

    monkeypatch.setattr(relaying, "publish", counted)
    stop = threading.Event()
    thread = threading.Thread(target=relaying.relay, args=(database, stop))
    thread.start()
    try:
        until(lambda: passes)
        began, before = time.monotonic(), len(passes)
        for _ in range(200):
            with database.platform_read() as tx:
                tx.sql("SELECT pg_notify(%(channel)s, '')", channel=READY_CHANNEL)
        until(lambda: len(passes) > before)
        most = (time.monotonic() - began) / relaying.HELD_SECONDS + 3
        assert len(passes) - before <= most
    finally:
        stop.set()
        thread.join(10)
