"""Queues that stand still."""

import pytest

from storage import jobs, publishing, queues, runnable, steps
from storage.database import Database
from storage.events import READY_CHANNEL
from storage.model import Job, PublicError, StepState, TenantId
from tests.documents import put_in, take, taken

CALL = {"steps": {"say": {"kind": "http.call", "url": "https://example.org/"}}}
NAMES = ["default", "calls"]


def pause(database: Database, name: str = "default") -> None:
    with database.platform() as tx:
        queues.pause(tx, name)


def resume(database: Database, name: str = "default") -> None:
    with database.platform() as tx:
        queues.resume(tx, name)


def with_room(database: Database) -> set[str]:
    with database.platform_read() as tx:
        return set(publishing.room(tx, NAMES, window=10))


def is_sent(database: Database, job: Job) -> bool:
    with database.platform_read() as tx:
        asked = "SELECT published_at IS NOT NULL FROM steps WHERE job_id = %(job)s"
        return bool(tx.sql(asked, job=job.id).scalar_one())


def test_nothing_starts_from_a_queue_that_is_paused_and_all_from_others(database: Database, tenant: TenantId) -> None:
    echo, call = put_in(database, tenant), put_in(database, tenant, CALL)
    pause(database)
    assert with_room(database) == {"calls"}
    assert take(database, tenant, echo, "say") is None
    taken(database, tenant, call, "say")
    resume(database)
    assert with_room(database) == {"default"}
    taken(database, tenant, echo, "say")


def test_what_runs_when_its_queue_is_paused_goes_on_to_its_end(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    pause(database)
    with database.platform() as tx:
        assert runnable.renew(tx, "w1", [(tenant, claim.step_id)], lease_seconds=30) == 1
    with database.begin(tenant) as tx:
        steps.check(tx, claim)
        steps.report(tx, claim, 0.5, {})
        steps.succeed(tx, claim, {})


def test_a_retry_whose_time_comes_in_a_pause_waits_for_its_end(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.begin(tenant) as tx:
        claim = taken(database, tenant, job, "say")
        steps.retry(tx, claim, PublicError(code="boom", message="it broke"), delay_seconds=0)
    pause(database)
    with database.platform() as tx:
        assert runnable.make_due_queued(tx, limit=10).steps == 1
    assert with_room(database) == set()
    with database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    assert found.steps[0].state is StepState.QUEUED
    resume(database)
    assert with_room(database) == {"default"}


def test_a_hint_that_came_in_a_pause_is_sent_again(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.platform() as tx:
        assert len(publishing.take_to_publish(tx, "default", limit=10)) == 1
    pause(database)
    assert is_sent(database, job)
    assert take(database, tenant, job, "say") is None
    assert not is_sent(database, job)


def test_a_pause_counts_from_the_first_time_and_ends_at_once(database: Database) -> None:
    pause(database)
    with database.platform_read() as tx:
        since = queues.paused(tx)
    pause(database)
    with database.platform_read() as tx:
        assert queues.paused(tx) == since
    assert list(since) == ["default"]
    for _ in range(2):
        resume(database)
    with database.platform_read() as tx:
        assert queues.paused(tx) == {}
    pause(database)
    with database.platform_read() as tx:
        assert queues.paused(tx)["default"] > since["default"]


@pytest.mark.parametrize("name", ["default", "never-paused"])
def test_a_queue_that_goes_on_wakes_the_relay(database: Database, name: str) -> None:
    pause(database)
    with database.listen(READY_CHANNEL) as connection:
        resume(database, name)
        assert [told.channel for told in connection.notifies(timeout=5, stop_after=1)] == [READY_CHANNEL]
