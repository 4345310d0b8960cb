"""Answers kept by key."""

import pytest

from storage import idempotency
from storage.database import Database
from storage.errors import IdempotencyInFlight, IdempotencyMismatch
from storage.model import TenantId
from storage.tenants import ensure


def test_an_answered_key_replays_its_answer(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        token = idempotency.reserve(tx, "k", lock_seconds=60)
        assert token is not None
        idempotency.answer(tx, "k", token, b"print", {"id": 1})
    with database.begin(tenant) as tx:
        assert idempotency.reserve(tx, "k", lock_seconds=60) is None
        assert idempotency.replay(tx, "k", b"print") == {"id": 1}
        with pytest.raises(IdempotencyMismatch):
            idempotency.replay(tx, "k", b"other")


def test_a_key_in_flight_is_refused_until_it_is_released(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        token = idempotency.reserve(tx, "k", lock_seconds=60)
        assert token is not None
    with pytest.raises(IdempotencyInFlight), database.begin(tenant) as tx:
        idempotency.reserve(tx, "k", lock_seconds=60)
    with database.begin(tenant) as tx:
        idempotency.release(tx, "k", token)
        assert idempotency.reserve(tx, "k", lock_seconds=60) is not None


def test_a_request_that_died_is_taken_over_and_cannot_answer_any_more(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        dead = idempotency.reserve(tx, "k", lock_seconds=-1)
        assert dead is not None
    with database.begin(tenant) as tx:
        new = idempotency.reserve(tx, "k", lock_seconds=60)
        assert new is not None
    with pytest.raises(IdempotencyInFlight), database.begin(tenant) as tx:
        idempotency.answer(tx, "k", dead, b"print", {})
    with database.begin(tenant) as tx:
        idempotency.release(tx, "k", dead)
        idempotency.answer(tx, "k", new, b"print", {"id": 2})
        assert idempotency.replay(tx, "k", b"print") == {"id": 2}


def test_tenants_may_use_the_same_key(database: Database, tenant: TenantId) -> None:
    with database.platform() as platform:
        stranger = ensure(platform, "stranger")
    for one in (tenant, stranger):
        with database.begin(one) as tx:
            assert idempotency.reserve(tx, "k", lock_seconds=60) is not None


def test_an_old_answer_is_forgotten(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        token = idempotency.reserve(tx, "k", lock_seconds=60)
        assert token is not None
        idempotency.answer(tx, "k", token, b"print", {})
        tx.sql("UPDATE idempotency SET created_at = created_at - interval '25 hours' WHERE tenant_id = %(tenant)s")
    with database.begin(tenant) as tx:
        assert idempotency.reserve(tx, "k", lock_seconds=60) is not None


def test_a_request_that_renews_keeps_its_key(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        token = idempotency.reserve(tx, "k", lock_seconds=-1)
        assert token is not None
        assert idempotency.renew(tx, "k", token, lock_seconds=60)
        assert not idempotency.renew(tx, "k", "another", lock_seconds=60)
    with pytest.raises(IdempotencyInFlight), database.begin(tenant) as tx:
        idempotency.reserve(tx, "k", lock_seconds=60)
