"""Deliveries on their way: taken lane by lane, fenced, tried again, and endpoints that fail."""

from collections import Counter
from datetime import datetime

import pytest

from storage import deliveries, delivering, webhooks
from storage.database import Database, Tx
from storage.delivering import UnderWay
from storage.model import TenantId
from storage.tenants import ensure
from storage.webhook_model import DeliveryState
from tests.documents import ECHO, put_in
from tests.storage.telling import due, ended, endpoint_in, make_due, states, tried


def test_what_is_taken_is_due_again_when_its_lease_is_over(database: Database, tenant: TenantId) -> None:
    endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    [first] = due(database)
    assert due(database) == []
    with database.platform_read() as tx:
        seconds = delivering.seconds_to_next(tx, UnderWay())
    assert seconds is not None
    assert 55 < seconds <= 60
    make_due(database)
    [second] = due(database)
    assert (second.delivery.id, second.claim) == (first.delivery.id, first.claim + 1)
    with database.begin(tenant) as tx:
        assert delivering.keep_body(tx, first, "late") is None
        assert not delivering.delivered(tx, first, tried(200))
        assert not delivering.failed(tx, first, tried(), again_in_seconds=5)
        assert not delivering.give_back(tx, first)
        assert delivering.delivered(tx, second, tried(200))
        assert not delivering.delivered(tx, second, tried(200))


def test_the_body_that_was_kept_first_is_the_one_that_is_sent(database: Database, tenant: TenantId) -> None:
    endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    [claimed] = due(database)
    with database.begin(tenant) as tx:
        assert delivering.keep_body(tx, claimed, "first") == "first"
        assert delivering.keep_body(tx, claimed, "second") == "first"


def test_a_lane_gets_no_more_than_it_has_room_for_and_in_order(database: Database, tenant: TenantId) -> None:
    one, other = endpoint_in(database, tenant), endpoint_in(database, tenant)
    jobs = [put_in(database, tenant) for _ in range(10)]
    for job in jobs:
        ended(database, tenant, job)
    taken_now = due(database)
    assert Counter(claimed.delivery.lane for claimed in taken_now) == {one.id: 4, other.id: 4}
    mine = [claimed.delivery.job_id for claimed in taken_now if claimed.delivery.lane == one.id]
    assert mine == [job.id for job in jobs[:4]]
    more = due(database, UnderWay(lanes={one.id: 3, other.id: 4}))
    assert [claimed.delivery.job_id for claimed in more] == [jobs[4].id]


def test_a_lane_that_fails_is_tried_by_one_at_a_time(database: Database, tenant: TenantId) -> None:
    failing, fine = endpoint_in(database, tenant), endpoint_in(database, tenant)
    for _ in range(5):
        ended(database, tenant, put_in(database, tenant))
    with database.begin(tenant) as tx:
        assert not delivering.note_failure(tx, failing.id, long_seconds=60, many=1)
    lanes = Counter(claimed.delivery.lane for claimed in due(database, UnderWay(narrow=[fine.id])))
    assert lanes == {failing.id: 1, fine.id: 1}
    assert due(database, UnderWay(lanes={failing.id: 1, fine.id: 1}, narrow=[fine.id])) == []
    with database.platform_read() as tx:
        assert delivering.seconds_to_next(tx, UnderWay(lanes={failing.id: 1, fine.id: 4})) is None


def test_a_tenant_gets_no_more_lanes_than_it_has_room_for(database: Database, tenant: TenantId) -> None:
    for _ in range(5):
        endpoint_in(database, tenant)
    with database.platform() as tx:
        other = ensure(tx, "other")
    late = endpoint_in(database, other)
    ended(database, tenant, put_in(database, tenant))
    ended(database, other, put_in(database, other))
    under_way = UnderWay(tenants={tenant: 2}, per_tenant=4)
    assert Counter(claimed.delivery.tenant_id for claimed in due(database, under_way)) == {tenant: 2, other: 1}
    assert states(database, other, late.id) == [DeliveryState.PENDING]


def test_a_tenant_gets_no_more_messages_than_it_has_room_for_from_all_lanes_alike(
    database: Database, tenant: TenantId
) -> None:
    for _ in range(5):
        endpoint_in(database, tenant)
    with database.platform() as tx:
        other = ensure(tx, "other")
    late = endpoint_in(database, other)
    for _ in range(3):
        ended(database, tenant, put_in(database, tenant))
    ended(database, other, put_in(database, other))
    taken_now = due(database, UnderWay(per_tenant=6), limit=7)
    lanes = Counter(claimed.delivery.lane for claimed in taken_now if claimed.delivery.tenant_id == tenant)
    assert sorted(lanes.values()) == [1, 1, 1, 1, 2]
    assert [claimed.delivery.lane for claimed in taken_now if claimed.delivery.tenant_id == other] == [late.id]


def test_a_tenant_that_has_all_it_may_have_is_no_reason_to_look_again(database: Database, tenant: TenantId) -> None:
    endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    with database.platform_read() as tx:
        assert (delivering.seconds_to_next(tx, UnderWay()) or 0) < 0
        assert delivering.seconds_to_next(tx, UnderWay(tenants={tenant: 6}, per_tenant=6)) is None


def test_a_lane_rests_until_its_endpoint_is_changed(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    notify = {"url": "https://example.com/done"}
    for document in (ECHO, {**ECHO, "notify": notify}):
        ended(database, tenant, put_in(database, tenant, document))
    with database.read(tenant) as tx:
        [told] = tx.sql("SELECT lane FROM deliveries WHERE endpoint_id IS NULL").scalars()
    resting = UnderWay(resting={endpoint.id: endpoint.updated_at, told: None})
    assert due(database, resting) == []
    with database.platform_read() as platform:
        assert delivering.seconds_to_next(platform, resting) is None
    with database.begin(tenant) as tx:
        webhooks.change(tx, endpoint.id, url="https://example.com/other")
    assert {claimed.delivery.lane for claimed in due(database, resting)} == {endpoint.id}


def test_what_failed_waits_and_then_ends_and_is_logged(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    for number in range(1, 26):
        make_due(database)
        [claimed] = due(database)
        assert claimed.delivery.tries == number - 1
        with database.begin(tenant) as tx:
            assert delivering.failed(tx, claimed, tried(400 + number), again_in_seconds=100 if number < 25 else None)
    with database.read(tenant) as tx:
        [delivery] = deliveries.page(tx, endpoint.id, state=DeliveryState.FAILED, before=None, limit=10)
    assert [one.status for one in delivery.log] == list(range(406, 426))
    assert (delivery.tries, delivery.next_at) == (25, None)
    assert delivery.ended_at is not None


def test_an_endpoint_counts_as_failing_until_something_arrives(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    for _ in range(2):
        ended(database, tenant, put_in(database, tenant))
    first, second = due(database)

    def failing(tx: Tx) -> datetime | None:
        found = webhooks.find(tx, endpoint.id)
        assert found is not None
        return found.failing_since

    with database.begin(tenant) as tx:
        delivering.failed(tx, first, tried(), again_in_seconds=100)
        delivering.note_failure(tx, endpoint.id, long_seconds=60, many=1)
        since = failing(tx)
        assert since is not None
        delivering.note_failure(tx, endpoint.id, long_seconds=60, many=1)
        assert failing(tx) == since
        delivering.delivered(tx, second, tried(200))
        assert failing(tx) is None


@pytest.mark.parametrize(("failures", "hopeless"), [(9, False), (10, True)])
def test_one_that_has_failed_for_long_and_often_is_hopeless(
    database: Database, tenant: TenantId, failures: int, hopeless: bool
) -> None:
    endpoint = endpoint_in(database, tenant)
    with database.platform() as platform:
        platform.sql("UPDATE webhook_endpoints SET failing_since = now() - interval '6 days'")
    ended(database, tenant, put_in(database, tenant))
    for _ in range(failures):
        make_due(database)
        [claimed] = due(database)
        with database.begin(tenant) as tx:
            delivering.failed(tx, claimed, tried(), again_in_seconds=100)
            found = delivering.note_failure(tx, endpoint.id, long_seconds=5 * 86_400, many=10)
            assert not delivering.note_failure(tx, endpoint.id, long_seconds=7 * 86_400, many=1)
    assert found is hopeless


def test_what_waits_for_a_disabled_endpoint_is_found_and_not_taken(database: Database, tenant: TenantId) -> None:
    endpoint, fine = endpoint_in(database, tenant), endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    with database.platform() as tx:  # as if the event had met the disabling
        tx.sql("UPDATE webhook_endpoints SET disabled_at = now() WHERE id = %(id)s", id=endpoint.id)
        assert delivering.stray(tx) == [(tenant, endpoint.id)]
    assert [claimed.delivery.lane for claimed in due(database)] == [fine.id]
    with database.platform() as tx:
        assert webhooks.cancel_pending(tx.of(tenant), endpoint.id, limit=10) == 1
        assert delivering.stray(tx) == []
