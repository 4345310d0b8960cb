"""Deliveries in the database: written with the event they tell of, taken lane by lane, fenced, sent again."""

import re
from collections.abc import Callable

import pytest

from storage import deliveries, delivering, steps, stops, webhooks
from storage.database import Database
from storage.errors import StorageError
from storage.model import Job, PublicError, TenantId
from storage.tenants import ensure
from storage.webhook_model import Delivery, DeliveryState, EndpointId, EventType
from tests.documents import CHAIN, ECHO, put_in, taken
from tests.storage.telling import ALL, due, ended, endpoint_in, states, tried

REJECTED = {
    "steps": {
        "say": {"kind": "echo", "stop_when": {"condition": "message == 'bad'", "code": "was_bad", "message": "it was"}}
    }
}


def of_job(database: Database, tenant: TenantId, job: Job) -> list[Delivery]:
    with database.read(tenant) as tx:
        return list(reversed(deliveries.page_of_job(tx, job.id, before=None, limit=100)))


def told(database: Database, tenant: TenantId, endpoint_id: EndpointId) -> list[str]:
    with database.read(tenant) as tx:
        found = deliveries.page(tx, endpoint_id, state=None, before=None, limit=100)
    return [one.type.value for one in reversed(found)]


def fails(database: Database, tenant: TenantId, job: Job) -> None:
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.fail(tx, claim, PublicError(code="boom", message="it broke"))


def is_canceled(database: Database, tenant: TenantId, job: Job) -> None:
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)


def expires(database: Database, tenant: TenantId, job: Job) -> None:
    with database.begin(tenant) as tx:
        tx.sql("UPDATE jobs SET deadline_at = now() WHERE id = %(id)s", id=job.id)
        assert stops.expire(tx, job.id)


@pytest.mark.parametrize(
    ("end", "types"),
    [
        (ended, ["step.succeeded", "job.succeeded"]),
        (fails, ["job.failed"]),
        (is_canceled, ["job.canceled"]),
        (expires, ["job.expired"]),
    ],
)
def test_each_way_in_which_a_job_ends_is_told_to_whom_it_concerns(
    database: Database, tenant: TenantId, end: Callable[[Database, TenantId, Job], None], types: list[str]
) -> None:
    curious = endpoint_in(database, tenant, ALL)
    other = endpoint_in(database, tenant, [EventType.WEBHOOK_DISABLED])
    with database.platform() as tx:
        stranger = ensure(tx, "other")
    strange = endpoint_in(database, stranger, ALL)
    job = put_in(database, tenant, {**ECHO, "deadline_seconds": 3600})
    end(database, tenant, job)
    assert told(database, tenant, curious.id) == types
    assert told(database, tenant, other.id) == []
    assert told(database, stranger, strange.id) == []
    assert len({one.message_id for one in of_job(database, tenant, job)}) == len(types)


def test_a_rejected_job_is_told_as_failed(database: Database, tenant: TenantId) -> None:
    curious = endpoint_in(database, tenant, ALL)
    job = put_in(database, tenant, REJECTED)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        stops.reject(tx, claim, {"message": "bad"})
    assert told(database, tenant, curious.id) == ["job.failed"]


def test_an_end_that_is_rolled_back_tells_nobody(database: Database, tenant: TenantId) -> None:
    curious = endpoint_in(database, tenant, ALL)
    claim = taken(database, tenant, put_in(database, tenant), "say")

    def end_and_roll_back() -> None:
        with database.begin(tenant) as tx:
            steps.succeed(tx, claim, {})
            assert len(deliveries.page(tx, curious.id, state=None, before=None, limit=10)) == 2
            raise StorageError

    with pytest.raises(StorageError):
        end_and_roll_back()
    assert told(database, tenant, curious.id) == []


def test_a_job_with_notify_tells_there_of_what_was_asked(database: Database, tenant: TenantId) -> None:
    notify = {"url": "https://example.com:8443/done", "events": ["job.succeeded", "job.failed"]}
    job = put_in(database, tenant, {**ECHO, "notify": notify})
    ended(database, tenant, job)
    [delivery] = of_job(database, tenant, job)
    assert (delivery.endpoint_id, delivery.url, delivery.type) == (None, notify["url"], EventType.JOB_SUCCEEDED)
    assert re.fullmatch(f"{tenant} [0-9a-f]{{3}}", delivery.lane)
    [claimed] = due(database)
    assert (claimed.delivery.id, claimed.endpoint, claimed.url) == (delivery.id, None, notify["url"])


def test_a_job_ends_however_long_the_name_of_the_host_is_that_it_tells(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, {**ECHO, "notify": {"url": "https://example.com/done"}})
    host = "".join(chr(0x4E00 + 37 * number % 20_000) for number in range(2000))  # too long for a key of an index
    with database.begin(tenant) as tx:
        tx.sql("UPDATE jobs SET notify = notify || jsonb_build_object('host', %(host)s::text)", host=host)
    ended(database, tenant, job)
    assert [one.type for one in of_job(database, tenant, job)] == [EventType.JOB_SUCCEEDED]


def test_a_listing_leaves_bodies_where_they_are(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    job = put_in(database, tenant)
    ended(database, tenant, job)
    [claimed] = due(database)
    with database.begin(tenant) as tx:
        delivering.keep_body(tx, claimed, "the body")
        [listed] = deliveries.page(tx, endpoint.id, state=DeliveryState.PENDING, before=None, limit=10)
        one = deliveries.find(tx, listed.id)
    assert (listed.body, one and one.body) == (None, "the body")
    assert [told.body for told in of_job(database, tenant, job)] == [None]


def test_a_disabled_endpoint_is_told_to_those_who_want_to_know(database: Database, tenant: TenantId) -> None:
    broken = endpoint_in(database, tenant, ALL)
    curious = endpoint_in(database, tenant, [EventType.WEBHOOK_DISABLED])
    other = endpoint_in(database, tenant)
    with database.begin(tenant) as tx:
        assert deliveries.insert_disabled(tx, broken.id, "it answered 410 Gone") == 1
    assert (told(database, tenant, broken.id), told(database, tenant, other.id)) == ([], [])
    [claimed] = due(database)
    assert (claimed.delivery.endpoint_id, claimed.delivery.type) == (curious.id, EventType.WEBHOOK_DISABLED)
    assert claimed.delivery.data == {"endpoint": broken.id, "reason": "it answered 410 Gone"}


def test_a_test_is_sent_whatever_was_asked_for(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    with database.begin(tenant) as tx:
        written = deliveries.insert_test(tx, endpoint.id)
        assert written is not None
        assert deliveries.find(tx, written.id) == written
    [claimed] = due(database)
    assert (claimed.delivery.id, claimed.delivery.type) == (written.id, EventType.WEBHOOK_TEST)
    assert claimed.delivery.message_id.startswith("msg_")


def test_what_is_sent_again_has_the_same_id_and_all_its_tries(database: Database, tenant: TenantId) -> None:
    endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    [before] = due(database)
    with database.begin(tenant) as tx:
        delivering.keep_body(tx, before, "the body")
        delivering.failed(tx, before, tried(), again_in_seconds=None)
    assert due(database) == []
    with database.begin(tenant) as tx:
        assert deliveries.redeliver(tx, before.delivery.id) is not None
    [after] = due(database)
    assert (after.delivery.message_id, after.body_bytes) == (before.delivery.message_id, len("the body"))
    assert (after.delivery.tries, len(after.delivery.log)) == (0, 1)
    with database.read(tenant) as tx:
        assert delivering.body(tx, after) == "the body"
        assert delivering.body(tx, before) is None


def test_a_time_is_sent_again_in_order_and_bit_by_bit(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    jobs = [put_in(database, tenant) for _ in range(5)]
    for job in jobs:
        ended(database, tenant, job)
    with database.begin(tenant) as tx:
        webhooks.disable(tx, endpoint.id, "for a while")
        webhooks.enable(tx, endpoint.id)
        since = deliveries.page(tx, endpoint.id, state=None, before=None, limit=5)[3].happened_at
    chosen = (DeliveryState.CANCELED, DeliveryState.FAILED)
    with database.begin(tenant) as tx:
        first = deliveries.redeliver_since(tx, endpoint.id, since, states=chosen, limit=3)
        second = deliveries.redeliver_since(tx, endpoint.id, since, states=chosen, limit=3)
    assert ((first.count, first.more), (second.count, second.more)) == ((3, True), (1, False))
    assert [claimed.delivery.job_id for claimed in due(database)] == [job.id for job in jobs[1:]]


def test_pages_are_newest_first(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant, ALL)
    job = put_in(database, tenant, CHAIN)
    for step in job.steps:
        claim = taken(database, tenant, job, step.name)
        with database.begin(tenant) as tx:
            steps.succeed(tx, claim, {})
    with database.read(tenant) as tx:
        whole = deliveries.page(tx, endpoint.id, state=None, before=None, limit=10)
        assert deliveries.page(tx, endpoint.id, state=None, before=whole[1].id, limit=10) == whole[2:]
        assert deliveries.page_of_job(tx, job.id, before=whole[0].id, limit=2) == whole[1:3]
        assert deliveries.page(tx, endpoint.id, state=DeliveryState.FAILED, before=None, limit=10) == []
    assert whole[0].type is EventType.JOB_SUCCEEDED
    assert [one.data.get("step") for one in whole] == [None, "third", "second", "first"]


def test_old_deliveries_are_forgotten_and_waiting_ones_are_not(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    for _ in range(3):
        ended(database, tenant, put_in(database, tenant))
    old, young, _ = due(database)
    with database.begin(tenant) as tx:
        delivering.delivered(tx, old, tried(200))
        delivering.failed(tx, young, tried(), again_in_seconds=None)
        tx.sql("UPDATE deliveries SET ended_at = now() - interval '31 days' WHERE id = %(id)s", id=old.delivery.id)
    with database.platform() as platform:
        assert deliveries.forget_old(platform, older_than_seconds=30 * 86_400, limit=10) == 1
        assert deliveries.forget_old(platform, older_than_seconds=30 * 86_400, limit=10) == 0
    assert states(database, tenant, endpoint.id) == [DeliveryState.PENDING, DeliveryState.FAILED]
