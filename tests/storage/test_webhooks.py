"""Endpoints in the database: what is kept of them, and how their secrets change."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from storage import deliveries, delivering, webhooks
from storage.database import Database
from storage.delivering import UnderWay
from storage.errors import SecretUnreadable
from storage.model import TenantId
from storage.sealing import Keyring
from storage.tenants import ensure
from storage.webhook_model import (
    DeliveryState,
    Endpoint,
    EventType,
    NewEndpoint,
    SigningSecret,
    SigningSecrets,
    new_endpoint_id,
)
from tests.documents import put_in
from tests.storage.racing import until_somebody_waits_for_a_lock
from tests.storage.telling import ended, endpoint_in, states

RING = Keyring(["k" * 32])
NOW = datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def sealed_in(database: Database, tenant: TenantId, secret: str = "whsec_one", key: str | None = None) -> Endpoint:
    endpoint_id = new_endpoint_id()
    signing = SigningSecrets(secrets=[SigningSecret(secret=secret, until=None)], key=key)
    new = NewEndpoint(
        id=endpoint_id,
        url="https://example.com/hook",
        types=[EventType.JOB_SUCCEEDED],
        ed25519=key is not None,
        sealed=webhooks.seal(RING, tenant, endpoint_id, signing),
    )
    with database.begin(tenant) as tx:
        return webhooks.insert(tx, new)


def secrets_at(endpoint: Endpoint, now: datetime) -> list[str]:
    return [one.secret for one in webhooks.opened(RING, endpoint, now=now).secrets]


def test_an_endpoint_is_kept_as_it_was_given(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant, key="whsk_pair")
    with database.read(tenant) as tx:
        assert webhooks.find(tx, made.id) == made
        assert webhooks.count(tx) == 1
    assert (made.url, made.types, made.ed25519) == ("https://example.com/hook", (EventType.JOB_SUCCEEDED,), True)
    assert (made.disabled_at, made.failing_since, made.delivered_at) == (None, None, None)
    assert webhooks.opened(RING, made, now=NOW).key == "whsk_pair"


def test_nobody_else_sees_or_changes_it(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant)
    with database.platform() as tx:
        other = ensure(tx, "other")
    with database.begin(other) as theirs:
        assert webhooks.find(theirs, made.id) is None
        assert webhooks.change(theirs, made.id, description="mine") is None
        assert webhooks.disable(theirs, made.id, "no") is None
        assert webhooks.rotate(theirs, RING, made.id, "whsec_two", now=NOW, old_until=NOW) is None
        assert not webhooks.delete(theirs, made.id)
    with database.read(tenant) as tx:
        assert webhooks.find(tx, made.id) == made


def test_pages_are_newest_first_and_leave_listeners_out(database: Database, tenant: TenantId) -> None:
    made = [sealed_in(database, tenant).id for _ in range(3)]
    listener = endpoint_in(database, tenant, url=None, listening_seconds=60)
    with database.read(tenant) as tx:
        first = webhooks.page(tx, before=None, limit=2)
        assert [one.id for one in first] == [made[2], made[1]]
        assert [one.id for one in webhooks.page(tx, before=made[1], limit=2)] == [made[0]]
        assert webhooks.count(tx) == 3
        found = webhooks.find(tx, listener.id)
    assert found is not None
    assert found.url is None
    assert found.listening_until is not None


def test_a_change_keeps_what_is_not_given(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant)
    with database.begin(tenant) as tx:
        delivering.note_failure(tx, made.id, long_seconds=60, many=1)
        changed = webhooks.change(tx, made.id, types=[EventType.JOB_FAILED])
        assert changed is not None
        assert (changed.url, changed.types) == (made.url, (EventType.JOB_FAILED,))
        assert changed.failing_since is not None
        moved = webhooks.change(tx, made.id, url="https://example.com/new", description="new")
    assert moved is not None
    assert (moved.url, moved.description, moved.failing_since) == ("https://example.com/new", "new", None)
    assert moved.updated_at > made.updated_at


def test_while_secrets_rotate_both_sign_and_then_one(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant, key="whsk_pair")
    with database.begin(tenant) as tx:
        rotated = webhooks.rotate(tx, RING, made.id, "whsec_two", now=NOW, old_until=NOW + DAY)
    assert rotated is not None
    assert secrets_at(rotated, NOW) == ["whsec_two", "whsec_one"]
    assert secrets_at(rotated, NOW + DAY) == ["whsec_two"]
    assert webhooks.opened(RING, rotated, now=NOW).key == "whsk_pair"


def test_a_secret_that_is_dropped_at_once_takes_those_before_it_along(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant)
    with database.begin(tenant) as tx:
        webhooks.rotate(tx, RING, made.id, "whsec_two", now=NOW, old_until=NOW + DAY)
        rotated = webhooks.rotate(tx, RING, made.id, "whsec_three", now=NOW, old_until=NOW)
    assert rotated is not None
    assert secrets_at(rotated, NOW) == ["whsec_three"]


def test_many_rotations_keep_the_newest_secrets(database: Database, tenant: TenantId) -> None:
    made = sealed_in(database, tenant, "whsec_0")
    with database.begin(tenant) as tx:
        for number in range(1, 10):
            rotated = webhooks.rotate(tx, RING, made.id, f"whsec_{number}", now=NOW, old_until=NOW + DAY)
    assert rotated is not None
    assert secrets_at(rotated, NOW) == [f"whsec_{number}" for number in (9, 8, 7, 6, 5)]


def test_secrets_moved_to_another_endpoint_cannot_be_opened(database: Database, tenant: TenantId) -> None:
    one, other = sealed_in(database, tenant), sealed_in(database, tenant)
    assert one.sealed is not None
    with database.begin(tenant) as tx:
        swapped = webhooks.put_sealed(tx, other.id, one.sealed)
    assert swapped is not None
    with pytest.raises(SecretUnreadable):
        webhooks.opened(RING, swapped, now=NOW)


def test_those_that_an_older_key_seals_are_found_page_by_page(database: Database, tenant: TenantId) -> None:
    made = sorted((sealed_in(database, tenant).id for _ in range(3)), key=str)
    newer = Keyring(["n" * 32, "k" * 32])
    with database.platform() as tx:
        first = webhooks.sealed_otherwise(tx, newer.current_id, after=None, limit=2)
        rest = webhooks.sealed_otherwise(tx, newer.current_id, after=(tenant, first[-1].id), limit=2)
        assert [one.id for one in [*first, *rest]] == made
        assert webhooks.sealed_otherwise(tx, RING.current_id, after=None, limit=2) == []


def test_a_disabled_endpoint_gets_nothing_and_what_waits_is_canceled(database: Database, tenant: TenantId) -> None:
    made, other = endpoint_in(database, tenant), endpoint_in(database, tenant)
    ended(database, tenant, put_in(database, tenant))
    with database.begin(tenant) as tx:
        disabled = webhooks.disable(tx, made.id, "by its owner")
    assert disabled is not None
    assert disabled.disabled_at is not None
    assert disabled.disabled_reason == "by its owner"
    ended(database, tenant, put_in(database, tenant))
    assert states(database, tenant, made.id) == [DeliveryState.CANCELED]
    assert states(database, tenant, other.id) == [DeliveryState.PENDING] * 2
    with database.begin(tenant) as tx:
        enabled = webhooks.enable(tx, made.id)
    assert enabled is not None
    assert (enabled.disabled_at, enabled.disabled_reason) == (None, None)
    ended(database, tenant, put_in(database, tenant))
    assert states(database, tenant, made.id) == [DeliveryState.PENDING, DeliveryState.CANCELED]


def test_deleting_an_endpoint_deletes_what_was_delivered_to_it(database: Database, tenant: TenantId) -> None:
    made, other = endpoint_in(database, tenant), endpoint_in(database, tenant)
    job = put_in(database, tenant)
    ended(database, tenant, job)
    with database.begin(tenant) as tx:
        assert webhooks.delete(tx, made.id)
        assert not webhooks.delete(tx, made.id)
        left = deliveries.page_of_job(tx, job.id, before=None, limit=10)
    assert [one.endpoint_id for one in left] == [other.id]


def test_a_listener_that_went_away_gets_nothing_and_is_forgotten(database: Database, tenant: TenantId) -> None:
    listener = endpoint_in(database, tenant, url=None, listening_seconds=60)
    ended(database, tenant, put_in(database, tenant))
    with database.platform() as tx:
        assert delivering.take_due(tx, UnderWay(), limit=10, lease_seconds=60) == []
    with database.begin(tenant) as tx:
        [claimed] = delivering.take_of(tx, listener, limit=10, lease_seconds=60)
        assert claimed.delivery.endpoint_id == listener.id
        assert webhooks.keep_listening(tx, listener.id, seconds=-1)
    ended(database, tenant, put_in(database, tenant))
    assert len(states(database, tenant, listener.id)) == 1
    with database.platform() as tx:
        assert webhooks.forget_listeners(tx, older_than_seconds=60, limit=10) == 0
        assert webhooks.forget_listeners(tx, older_than_seconds=0, limit=10) == 1
    with database.begin(tenant) as tx:
        assert not webhooks.keep_listening(tx, listener.id, seconds=60)


def test_an_endpoint_that_is_deleted_at_this_moment_fails_no_job(database: Database, tenant: TenantId) -> None:
    endpoint = endpoint_in(database, tenant)
    job = put_in(database, tenant)
    with ThreadPoolExecutor(1) as beside:
        with database.begin(tenant) as tx:
            assert webhooks.delete(tx, endpoint.id)
            ending = beside.submit(ended, database, tenant, job)
            until_somebody_waits_for_a_lock(database)
        ending.result(10)
    with database.read(tenant) as tx:
        assert deliveries.page_of_job(tx, job.id, before=None, limit=10) == []
