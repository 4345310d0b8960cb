"""The rows of each trouble are found, and those of others are left alone."""

from typing import Any

import pytest

from storage import cause_rules, diagnosis, holds, processes, queues, scaling, steps, webhooks, workers
from storage.causes import CauseCode
from storage.database import Database
from storage.delivering import failed
from storage.diagnosis_model import Facts, Seen
from storage.model import Job, PublicError, TenantId
from storage.processes import Known
from storage.webhook_model import Endpoint
from tasks.budget_rules import Why, held
from tasks.names import Queue
from tests.documents import ECHO, put_in, runnable_steps, taken
from tests.storage.telling import due, ended, endpoint_in, tried

BROKEN = PublicError(code="not_an_image", message="the file is no picture", fingerprint="3f2a90c41b7d")


def look(database: Database) -> Facts:
    with database.platform_read() as tx:
        return diagnosis.read(tx, Queue)


def codes(database: Database) -> list[str]:
    facts = look(database)
    return [cause.code for cause in cause_rules.find(Seen(at=facts.at, facts=facts))]


def passed(database: Database, seconds: float, *statements: str) -> None:
    """Let these columns be so much older than they are."""
    with database.platform() as tx:
        for statement in statements:
            tx.sql(statement, seconds=seconds)


def fail(database: Database, tenant: TenantId, error: PublicError = BROKEN) -> Job:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.fail(tx, claim, error)
    return job


def serve(database: Database, *, for_seconds: float = 60) -> None:
    with database.platform() as tx:
        workers.seen(tx, "default@here", queues=["default"], slots=2, for_seconds=for_seconds)


OLDER = "UPDATE steps SET run_at = run_at - make_interval(secs => %(seconds)s)"


def test_of_an_empty_platform_there_is_nothing_to_say(database: Database) -> None:
    facts = look(database)
    assert [queue.name for queue in facts.queues] == list(Queue)
    assert (facts.workers, facts.failed_last_hour, facts.processes, facts.held) == (0, 0, None, {})
    assert codes(database) == []


def test_work_without_a_worker_is_named_until_one_comes(database: Database, tenant: TenantId) -> None:
    put_in(database, tenant)
    runnable_steps(database)
    passed(database, 6, OLDER)
    assert codes(database) == [CauseCode.QUEUE_WITHOUT_WORKER]
    serve(database)
    assert codes(database) == []
    assert look(database).workers == 1


def test_a_paused_queue_is_named_and_what_waits_in_it_is_not_the_relays_fault(
    database: Database, tenant: TenantId
) -> None:
    put_in(database, tenant)
    passed(database, 60, OLDER)
    with database.platform() as tx:
        queues.pause(tx, "default")
    assert codes(database) == [CauseCode.QUEUE_PAUSED]
    with database.platform() as tx:
        queues.resume(tx, "default")
    serve(database)
    assert codes(database) == [CauseCode.RELAY_LAG]


def test_what_waits_behind_a_full_window_is_not_late(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "WINDOW_HALF", 1)
    put_in(database, tenant)
    runnable_steps(database)
    put_in(database, tenant)
    passed(database, 6, OLDER)
    serve(database)
    assert codes(database) == []
    monkeypatch.setattr(diagnosis, "WINDOW_HALF", 2)
    assert codes(database) == [CauseCode.RELAY_LAG]


def test_steps_whose_time_has_come_and_that_nobody_queues_are_the_relays(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.retry(tx, claim, BROKEN, delay_seconds=1)
    serve(database)
    assert codes(database) == []
    passed(database, 30, OLDER)
    assert codes(database) == [CauseCode.RELAY_LAG]


def test_steps_that_fail_for_one_reason_are_named_from_the_third_on(database: Database, tenant: TenantId) -> None:
    for _ in range(2):
        fail(database, tenant)
        fail(database, tenant, PublicError(code="other", message="another reason", fingerprint="000000000000"))
    assert codes(database) == []
    fail(database, tenant)
    assert codes(database) == [CauseCode.POISON_FILES]
    [group, _] = look(database).failing
    assert (group.fingerprint, group.steps, group.tenants) == (BROKEN.fingerprint, 3, 1)
    assert look(database).failed_last_hour == 5
    passed(database, 1000, "UPDATE jobs SET finished_at = finished_at - make_interval(secs => %(seconds)s)")
    assert codes(database) == []


def test_one_step_that_kills_workers_is_enough(database: Database, tenant: TenantId) -> None:
    fail(database, tenant, PublicError(code="poison", message="it was given up", fingerprint="3f2a90c41b7d"))
    assert codes(database) == [CauseCode.POISON_FILES]


def test_a_condition_that_holds_is_no_failure(database: Database, tenant: TenantId) -> None:
    for _ in range(3):
        fail(database, tenant)
    passed(database, 0, "UPDATE jobs SET stop_as = 'failed', stop_at = now() - make_interval(secs => %(seconds)s)")
    assert codes(database) == []


def test_steps_that_wait_for_a_host_are_counted_by_host(database: Database, tenant: TenantId) -> None:
    words = {why: held(why, "crm.example:443", 30, 5).reason for why in Why}
    for why in (Why.DOWN, Why.DOWN, Why.PAIR_BUSY):
        job = put_in(database, tenant, {**ECHO, "metadata": {}})
        with database.begin(tenant) as tx:
            assert holds.hold(tx, job.id, job.steps[0].id, seconds=30, reason=words[why])
    assert look(database).held == {"crm.example:443": 2}


def tell(database: Database, tenant: TenantId, url: str = "https://user:pass@example.com/hook?token=s") -> Endpoint:
    endpoint = endpoint_in(database, tenant, url=url)
    ended(database, tenant, put_in(database, tenant))
    [claimed] = due(database)
    with database.begin(tenant) as tx:
        failed(tx, claimed, tried(500), again_in_seconds=300)
        tx.sql(
            "UPDATE webhook_endpoints SET failing_since = now() - interval '10 s'"
            " WHERE tenant_id = %(tenant)s AND id = %(id)s",
            id=endpoint.id,
        )
    return endpoint


def test_a_receiver_that_fails_is_named_by_its_host_alone(database: Database, tenant: TenantId) -> None:
    endpoint = tell(database, tenant)
    [receiver] = look(database).webhooks
    assert (receiver.host, receiver.endpoint_id, receiver.waiting) == ("example.com", endpoint.id, 1)
    assert receiver.error == "it did not work"
    assert codes(database) == [CauseCode.WEBHOOK_FAILING]
    with database.begin(tenant) as tx:
        webhooks.disable(tx, endpoint.id, "enough")
    assert codes(database) == []


def test_a_host_that_jobs_notify_is_named_as_well(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, {**ECHO, "notify": {"url": "https://example.com:444/a"}})
    ended(database, tenant, job)
    [claimed] = due(database)
    passed(database, 60, "UPDATE deliveries SET next_at = next_at - make_interval(secs => %(seconds)s)")
    with database.begin(tenant) as tx:
        failed(tx, claimed, tried(500), again_in_seconds=300)
        tx.sql("UPDATE deliveries SET happened_at = now() - interval '10 s' WHERE tenant_id = %(tenant)s")
    assert codes(database) == [CauseCode.WEBHOOK_FAILING]
    [receiver] = look(database).webhooks
    assert (receiver.host, receiver.endpoint_id) == ("example.com:444", None)


def test_webhooks_that_nobody_tries_are_late(database: Database, tenant: TenantId) -> None:
    endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    assert codes(database) == []
    passed(database, 60, "UPDATE deliveries SET next_at = next_at - make_interval(secs => %(seconds)s)")
    assert codes(database) == [CauseCode.WEBHOOK_LATE]


def test_workers_that_fall_silent_are_named_and_those_that_say_farewell_are_not(database: Database) -> None:
    serve(database, for_seconds=-1)
    assert codes(database) == [CauseCode.WORKERS_LOSING_LEASES]
    passed(database, 600, "UPDATE workers SET seen_until = seen_until - make_interval(secs => %(seconds)s)")
    assert codes(database) == []


def decide(database: Database, **changes: Any) -> None:
    said = {"replicas": 4, "wanted": 4, "bounds": (1, 4), "reason": "40 runnable", "memory": {}, "dry_run": False}
    inputs = {"triggers": [{"trigger": "age", "failed": "no"}, {"trigger": "depth", "value": 40, "target": 5}]}
    with database.platform() as tx:
        scaling.decide(tx, "images", is_news=False, **{"inputs": inputs, **said, **changes})


def test_a_pool_that_asks_for_more_than_it_may_have_is_at_its_maximum(database: Database) -> None:
    decide(database)
    assert look(database).pools[0].asked == 8
    assert codes(database) == [CauseCode.SCALER_AT_MAXIMUM]
    decide(database, bounds=(1, 8))
    assert codes(database) == []
    passed(database, 90, "UPDATE pools SET decided_at = decided_at - make_interval(secs => %(seconds)s)")
    assert codes(database) == [CauseCode.SCALER_SILENT]


def test_loops_that_no_living_process_keeps_are_named(database: Database) -> None:
    def tell_of(*loops: str) -> None:
        known = Known(name="s@h/1", role="scheduler", version="1", metrics_url=None, detail={"loops": list(loops)})
        with database.platform() as tx:
            processes.seen(tx, known)

    tell_of("relay", "reap", "sweep", "count", "fire", "batch", "deliver")
    assert codes(database) == []
    tell_of("count", "fire", "sweep", "batch")
    assert codes(database) == [CauseCode.RELAY_SILENT, CauseCode.LOOP_SILENT, CauseCode.LOOP_SILENT]
    assert look(database).processes is not None
