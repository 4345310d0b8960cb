"""What is alone in its queue is sent before the relay asks for anything else."""

import pytest
import redis

from scheduler import relay as relaying
from scheduler.errors import BrokerUnavailable
from scheduler.hints import Hints
from storage import queues
from storage.database import Database
from storage.model import TenantId
from tests.documents import ECHO, put_in, taken
from tests.scheduler.sent import broker as broker
from tests.scheduler.sent import hints as hints
from tests.scheduler.sent import steps_in

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
