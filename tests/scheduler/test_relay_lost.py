"""Hints that were lost on the way, against a real broker and a real database: the relay sends them again."""

import redis

from scheduler import epoch
from scheduler import relay as relaying
from scheduler.hints import Hints
from storage.database import Database
from storage.model import TenantId
from tests.documents import put_in, taken
from tests.scheduler.sent import broker as broker
from tests.scheduler.sent import hints as hints
from tests.scheduler.sent import steps_in


def find_and_publish(database: Database, hints: Hints) -> int:
    found = relaying.find_lost(database, hints)
    relaying.publish(database, hints)
    return found


def age(database: Database) -> None:
    """Make every hint that was sent an old one."""
    with database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = published_at - interval '1 minute'")


def test_a_wiped_broker_is_noticed_at_once_and_gets_everything_again(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    jobs = [put_in(database, tenant) for _ in range(3)]
    relaying.publish(database, hints)
    taken(database, tenant, jobs[0], "say")
    assert find_and_publish(database, hints) == 0
    broker.flushall()
    assert find_and_publish(database, hints) == 2
    assert sorted(steps_in(broker)) == sorted(job.steps[0].id for job in jobs[1:])
    assert find_and_publish(database, hints) == 0


def test_a_broker_that_was_restarted_counts_as_wiped(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    put_in(database, tenant)
    relaying.publish(database, hints)
    broker.set(epoch.NAME, "the id of another run")  # what an append-only file brings back after a restart
    assert find_and_publish(database, hints) == 1
    assert len(steps_in(broker)) == 2


def test_hints_that_vanished_are_sent_again_when_they_are_old_and_their_queue_is_empty(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    jobs = [put_in(database, tenant) for _ in range(3)]
    relaying.publish(database, hints)
    taken(database, tenant, jobs[0], "say")
    broker.delete("default", "default\x06\x163")
    assert find_and_publish(database, hints) == 0  # they are too young to be called lost
    age(database)
    assert find_and_publish(database, hints) == 2
    assert sorted(steps_in(broker)) == sorted(job.steps[0].id for job in jobs[1:])


def test_old_hints_in_a_queue_that_is_not_empty_are_left_alone(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    put_in(database, tenant)
    relaying.publish(database, hints)
    age(database)
    assert find_and_publish(database, hints) == 0
    assert len(steps_in(broker)) == 1


def test_a_hint_that_was_overtaken_is_sent_again_though_its_queue_is_not_empty(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    lost, still_there, later = (put_in(database, tenant) for _ in range(3))
    relaying.publish(database, hints)
    age(database)
    with database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = now() WHERE job_id = ANY(%(jobs)s)", jobs=[still_there.id, later.id])
    assert find_and_publish(database, hints) == 0  # nobody has taken a later one yet
    taken(database, tenant, later, "say")
    assert find_and_publish(database, hints) == 1
    assert steps_in(broker).count(lost.steps[0].id) == 2


def test_everything_that_a_wiped_broker_lost_is_sent_again_at_once(
    database: Database, tenant: TenantId, broker: "redis.Redis", hints: Hints
) -> None:
    count = 2 * relaying.BATCH + 10
    for _ in range(count // 100 + 1):
        put_in(database, tenant, {"steps": {f"s{number}": {"kind": "echo"} for number in range(100)}})
    sent = relaying.publish(database, hints).sent
    broker.flushall()
    assert find_and_publish(database, hints) == sent
    assert len(set(steps_in(broker))) == sent
