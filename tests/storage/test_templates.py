"""Tenants' own templates in the database: versions that never change, and numbers that are given once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage import templates
from storage.database import Database
from storage.errors import TooManyVersions
from storage.model import TenantId
from storage.tenants import ensure
from tests.storage.racing import until_somebody_waits_for_a_lock

STEPS = {"zeta": {"kind": "echo", "message": "1"}, "alpha": {"kind": "echo"}}


def put(database: Database, tenant: TenantId, name: str = "mine", **said: Any) -> tuple[int, bool]:
    """The version that stands then, and whether it is new."""
    with database.begin(tenant) as tx:
        made, is_new = templates.put(tx, name, **({"description": "", "steps": STEPS, "overrides": {}} | said))
    return made.version, is_new


def found(database: Database, tenant: TenantId, name: str = "mine", version: int | None = None) -> Any:
    with database.read(tenant) as tx:
        one = templates.find(tx, name, version)
    return one and (one.version, one.description)


def listed(database: Database, tenant: TenantId, **asked: Any) -> list[tuple[str, int]]:
    with database.read(tenant) as tx:
        return [(one.name, one.version) for one in templates.page(tx, **({"after": None, "limit": 9} | asked))]


def delete(database: Database, tenant: TenantId, name: str = "mine") -> bool:
    with database.begin(tenant) as tx:
        return templates.delete(tx, name)


def test_each_put_is_a_version_and_the_same_again_is_none(database: Database, tenant: TenantId) -> None:
    assert put(database, tenant, description="a") == (1, True)
    assert put(database, tenant, description="a") == (1, False)
    assert put(database, tenant, description="b") == (2, True)
    assert put(database, tenant, description="a") == (3, True)
    assert [found(database, tenant, version=version) for version in (None, 1, 2, 3, 4)] == [
        (3, "a"),
        (1, "a"),
        (2, "b"),
        (3, "a"),
        None,
    ]
    turned = dict(reversed(STEPS.items()))  # the same object in JSON, but the steps' order is shown
    assert put(database, tenant, description="a", steps=turned) == (4, True)
    with database.read(tenant) as tx:
        assert [one.version for one in templates.versions(tx, "mine", before=4, limit=2)] == [3, 2]
        stored = templates.find(tx, "mine", 1)
    assert stored is not None
    assert list(stored.steps) == ["zeta", "alpha"]


def test_no_number_is_given_twice_even_after_a_delete(database: Database, tenant: TenantId) -> None:
    for word in ("a", "b", "c"):
        put(database, tenant, description=word)
    assert delete(database, tenant)
    assert not delete(database, tenant)
    assert found(database, tenant) is None
    assert found(database, tenant, version=3) is None
    assert listed(database, tenant) == []
    with database.read(tenant) as tx:
        assert templates.versions(tx, "mine", before=None, limit=9) == []
        assert templates.names(tx) == []
    assert put(database, tenant, description="c") == (4, True)
    assert found(database, tenant, version=3) is None


def test_the_list_has_the_newest_versions_by_name(database: Database, tenant: TenantId) -> None:
    for name in ("b", "a_1", "c", "a-1"):
        put(database, tenant, name)
    put(database, tenant, "b", description="newer")
    assert listed(database, tenant) == [("a-1", 1), ("a_1", 1), ("b", 2), ("c", 1)]
    assert listed(database, tenant, after="a_1", limit=1) == [("b", 2)]


def test_another_tenant_has_names_of_its_own(database: Database, tenant: TenantId) -> None:
    put(database, tenant)
    with database.platform() as tx:
        other = ensure(tx, "other")
    assert found(database, other) is None
    assert listed(database, other) == []
    assert not delete(database, other)
    assert put(database, other, description="theirs") == (1, True)
    assert found(database, tenant) == (1, "")


def test_versions_have_an_end(database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MAX_VERSIONS", 2)
    put(database, tenant, description="a")
    put(database, tenant, description="b")
    assert put(database, tenant, description="b") == (2, False)
    with pytest.raises(TooManyVersions):
        put(database, tenant, description="c")


def test_puts_at_once_have_numbers_of_their_own(database: Database, tenant: TenantId) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: put(database, tenant, description=str(n)), range(8)))
    assert sorted(made) == [(version, True) for version in range(1, 9)]


def test_what_is_held_is_not_deleted_before_its_user_stands(database: Database, tenant: TenantId) -> None:
    put(database, tenant)
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            assert templates.find(tx, "mine", hold=True) is not None
            deleting = pool.submit(delete, database, tenant)
            until_somebody_waits_for_a_lock(database)
            assert not deleting.done()
        assert deleting.result(timeout=10)


def test_what_is_being_deleted_cannot_be_held(database: Database, tenant: TenantId) -> None:
    put(database, tenant)

    def hold() -> bool:
        with database.begin(tenant) as tx:
            return templates.find(tx, "mine", hold=True) is not None

    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            assert templates.delete(tx, "mine")
            holding = pool.submit(hold)
            until_somebody_waits_for_a_lock(database)
        assert holding.result(timeout=10) is False
