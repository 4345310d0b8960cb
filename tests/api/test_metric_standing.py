"""What Prometheus is told of the platform besides its queues, and under the names of celery-exporter."""

import pytest

from storage import delivering, holds, processes, queues, stops, webhooks, workers
from storage.processes import Known
from storage.standing import WINDOW_HALF
from tasks.budget_rules import Why, held
from tasks.names import Queue
from tests.api.conftest import Api
from tests.api.deciding import serve
from tests.api.working import failed, start
from tests.documents import CHAIN, put_in
from tests.scraping import Scrape, number, scrape
from tests.storage.telling import due, ended, endpoint_in, tried
from tests.waiting import until

STOP = {"condition": "message == 'bad'", "code": "unfit", "message": "it is not fit"}
SAID_NO = {"say": {"kind": "echo", "stop_when": STOP}}
LAG = "millrace_relay_lag_seconds"


@pytest.fixture
def operate(own_api: Api) -> str:
    return own_api.key(own_api.acme, "operate:read")


def seen(api: Api, key: str) -> Scrape:
    return scrape(api.url, key)


def grow_old(api: Api, seconds: float) -> None:
    """Let what may run have been able to for so much longer."""
    with api.database.platform() as tx:
        tx.sql("UPDATE steps SET run_at = run_at - make_interval(secs => %(s)s) WHERE state <> 'waiting'", s=seconds)


def test_relay_lag_is_the_age_of_the_oldest_step_that_should_have_been_sent(own_api: Api, operate: str) -> None:
    assert number(seen(own_api, operate), LAG) == 0
    put_in(own_api.database, own_api.acme.tenant, CHAIN)
    grow_old(own_api, 100)
    assert 100 <= number(seen(own_api, operate), LAG) < 160
    with own_api.database.platform() as tx:
        queues.pause(tx, Queue.DEFAULT)
    assert number(seen(own_api, operate), LAG) == 0
    with own_api.database.platform() as tx:
        queues.resume(tx, Queue.DEFAULT)
    assert number(seen(own_api, operate), LAG) >= 100
    with own_api.database.platform() as tx:
        tx.sql("UPDATE steps SET published_at = now() WHERE state = 'queued'")
    assert number(seen(own_api, operate), LAG) == 0
    with own_api.database.platform() as tx:  # its time has come, and no relay looks
        tx.sql("UPDATE steps SET state = 'retrying', run_at = now() - interval '1 minute' WHERE state = 'queued'")
    assert 60 <= number(seen(own_api, operate), LAG) < 120


def test_what_waits_behind_a_full_window_is_no_lag_of_the_relay(own_api: Api, operate: str) -> None:
    many = {"steps": {f"s{place}": {"kind": "echo"} for place in range(50)}}
    for _ in range(2 * WINDOW_HALF // 50):
        put_in(own_api.database, own_api.acme.tenant, many)
    grow_old(own_api, 100)
    sent = "UPDATE steps SET published_at = now() WHERE id IN (SELECT id FROM steps ORDER BY id LIMIT %(limit)s)"
    for limit, is_late in ((WINDOW_HALF - 1, True), (WINDOW_HALF, False)):
        with own_api.database.platform() as tx:
            tx.sql(sent, limit=limit)
        assert (number(seen(own_api, operate), LAG) > 0) == is_late


def test_dead_letters_are_told_by_kind_and_a_condition_that_holds_is_none(own_api: Api, operate: str) -> None:
    failed(own_api)
    failed(own_api)
    claim = start(own_api, put_in(own_api.database, own_api.acme.tenant, {"steps": SAID_NO}))
    before = seen(own_api, operate)
    with own_api.database.begin(claim.tenant_id) as tx:
        stops.reject(tx, claim, {})
    after = seen(own_api, operate)
    assert [(one.labels, one.value) for one in after["millrace_dead_letters"]] == [({"kind": "echo"}, 2)]
    for name in ("millrace_dead_letters_total", "millrace_step_errors_total"):
        assert number(after, name) == number(before, name)
    gained = number(after, "millrace_steps_total", outcome="stopped") - number(
        before, "millrace_steps_total", outcome="stopped"
    )
    assert gained == 1
    assert "unfit" not in str(after)  # a tenant's own word


def test_webhooks_are_told_while_they_wait_and_when_their_receivers_fail(own_api: Api, operate: str) -> None:
    database, tenant = own_api.database, own_api.acme.tenant
    endpoint_in(database, tenant, url=None, listening_seconds=60)
    endpoint = endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    with database.platform() as tx:
        tx.sql("UPDATE deliveries SET happened_at = happened_at - interval '1 minute'")
    told = seen(own_api, operate)
    assert number(told, "millrace_webhook_deliveries_pending") == 1  # not what a developer listens for
    assert 60 <= number(told, "millrace_webhook_oldest_pending_seconds") < 120
    assert number(told, "millrace_webhook_endpoints_failing") == 0
    [claimed] = due(database)
    with database.begin(tenant) as tx:
        delivering.failed(tx, claimed, tried(), again_in_seconds=60)
        delivering.note_failure(tx, endpoint.id, long_seconds=1000, many=10)
    until(lambda: number(seen(own_api, operate), "millrace_webhook_endpoints_failing") == 1)  # kept for a moment
    with database.begin(tenant) as tx:
        webhooks.disable(tx, endpoint.id, "it is gone")
    until(lambda: number(seen(own_api, operate), "millrace_webhook_endpoints_failing") == 0)
    assert number(seen(own_api, operate), "millrace_webhook_deliveries_pending") == 0


def test_a_webhook_is_late_by_as_much_as_it_could_have_been_tried_before(own_api: Api, operate: str) -> None:
    database, tenant = own_api.database, own_api.acme.tenant

    def late(least: float, most: float) -> None:
        until(lambda: least <= number(seen(own_api, operate), "millrace_webhook_late_seconds") <= most)  # kept awhile

    late(0, 0)
    endpoint_in(database, tenant, url=None, listening_seconds=60)
    failing, gone, good = (endpoint_in(database, tenant) for _ in range(3))
    ended(database, tenant, put_in(database, tenant))
    with database.begin(tenant) as tx:
        delivering.note_failure(tx, failing.id, long_seconds=1000, many=10)
        webhooks.disable(tx, gone.id, "it is gone")
    with database.platform() as platform:
        overdue = "UPDATE deliveries SET next_at = now() - interval '1 minute', happened_at = now() - interval '1 day'"
        platform.sql(overdue)
        platform.sql("UPDATE deliveries SET next_at = now() - interval '1 hour' WHERE lane <> %(lane)s", lane=good.id)
    late(60, 120)
    assert {one.delivery.endpoint_id for one in due(database)} >= {good.id}  # somebody tries it
    late(0, 0)


def test_breakers_are_told_by_hosts_that_steps_wait_for(own_api: Api, operate: str) -> None:
    tenant = own_api.acme.tenant
    for why, host in ((Why.DOWN, "a.example:443"), (Why.DOWN, "a.example:443"), (Why.THROTTLED, "b.example:443")):
        job = put_in(own_api.database, tenant)
        with own_api.database.read(tenant) as tx:
            assert holds.hold(tx, job.id, job.steps[0].id, seconds=60, reason=held(why, host, 60, 20).reason)
    assert number(seen(own_api, operate), "millrace_breakers_open") == 1


def test_processes_are_told_by_role_and_workers_as_celery_exporter_does(own_api: Api, operate: str) -> None:
    for name in ("scheduler@a/1", "scheduler@a/2"):
        with own_api.database.platform() as tx:
            processes.seen(tx, Known(name=name, role="scheduler", version="1", metrics_url=None, detail={}))
    serve(own_api.database, "default", "images", slots=3)
    put_in(own_api.database, own_api.acme.tenant, CHAIN)
    told = seen(own_api, operate)
    assert {one.labels["role"]: one.value for one in told["millrace_processes"]} == {"scheduler": 2, "worker": 1}
    assert [one.value for one in told["millrace_build_info"]] == [1]
    assert number(told, "celery_queue_length", queue_name="default") == 1
    for name, value in (("consumer", 1), ("worker", 1), ("process", 3)):
        assert number(told, f"celery_active_{name}_count", queue_name="images") == value
        assert number(told, f"celery_active_{name}_count", queue_name="ai") == 0
    assert [(one.labels, one.value) for one in told["celery_worker_up"]] == [({"hostname": "default-images"}, 1)]
    with own_api.database.platform() as tx:
        workers.gone(tx, "images@default-images")
        processes.gone(tx, "scheduler@a/1")
    told = seen(own_api, operate)
    assert not told["celery_worker_up"]
    assert number(told, "millrace_processes") == 1
