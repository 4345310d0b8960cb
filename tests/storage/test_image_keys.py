"""Keys that sign addresses of pictures: sealed, several at once, retired at a time, found by their id alone."""

from datetime import UTC, datetime, timedelta

import pytest

from storage import image_keys
from storage.database import Database
from storage.errors import SecretUnreadable
from storage.image_model import ImageKey, new_image_key_id
from storage.model import TenantId
from storage.resealing import Resealed, reseal_image_keys
from storage.sealing import Keyring
from storage.tenants import ensure

OLD, NEW = "old-key-of-the-tests-and-of-nobody", "new-key-of-the-tests-and-of-nobody"
BEFORE, BOTH, AFTER = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])


def create(database: Database, tenant: TenantId, secret: bytes, ring: Keyring = BEFORE) -> ImageKey:
    key_id = new_image_key_id()
    with database.begin(tenant) as tx:
        return image_keys.create(tx, key_id, image_keys.seal(ring, tenant, key_id, secret))


def test_a_key_leads_to_its_tenant_and_opens_where_it_was_sealed(database: Database, tenant: TenantId) -> None:
    first, second = create(database, tenant, b"one"), create(database, tenant, b"two")
    with database.platform_read() as tx:
        found = image_keys.of_id(tx, first.id)
        assert image_keys.of_id(tx, new_image_key_id()) is None
    assert found == first
    assert found.tenant_id == tenant
    assert image_keys.opened(BEFORE, found) == b"one"
    with database.read(tenant) as tx:
        assert image_keys.of_tenant(tx) == [second, first]
        assert image_keys.count(tx) == 2
    moved = ImageKey(tenant_id=tenant, id=second.id, sealed=first.sealed, created_at=first.created_at)
    with pytest.raises(SecretUnreadable):
        image_keys.opened(BEFORE, moved)


def test_a_key_is_retired_at_a_time_and_may_stay_after_all(database: Database, tenant: TenantId) -> None:
    key, at = create(database, tenant, b"one"), datetime.now(UTC) + timedelta(days=1)
    with database.begin(tenant) as tx:
        retired = image_keys.retire(tx, key.id, at)
        assert retired is not None
        assert retired.retired_at == at
        kept = image_keys.retire(tx, key.id, None)
        assert kept == key


def test_a_stranger_neither_sees_retires_nor_deletes_a_key(database: Database, tenant: TenantId) -> None:
    key = create(database, tenant, b"one")
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    with database.begin(stranger) as tx:
        assert image_keys.of_tenant(tx) == []
        assert image_keys.retire(tx, key.id, datetime.now(UTC)) is None
        assert not image_keys.delete(tx, key.id)
    with database.begin(tenant) as tx:
        assert image_keys.delete(tx, key.id)
        assert image_keys.of_tenant(tx) == []


def test_keys_are_sealed_anew_and_sign_as_before(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.resealing.BATCH", 1)
    made = [create(database, tenant, b"one"), create(database, tenant, b"two"), create(database, tenant, b"new", AFTER)]
    assert reseal_image_keys(database, BOTH) == Resealed(count=2, left=[])
    with database.read(tenant) as tx:
        opened = {one.id: image_keys.opened(AFTER, one) for one in image_keys.of_tenant(tx)}
    assert opened == dict(zip([one.id for one in made], [b"one", b"two", b"new"], strict=True))
    assert reseal_image_keys(database, AFTER) == Resealed(count=0, left=[])
