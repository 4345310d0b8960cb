"""Uploads: written once their object is there, found by their tenant, deleted with their object."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduler.sweep import remove_objects
from storage import removals, uploads
from storage.database import Database
from storage.errors import ObjectMissing
from storage.image_model import NewUpload, Upload, UploadId, new_upload_id
from storage.keys import upload_key
from storage.model import TenantId
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.tenants import ensure
from tests.storage.racing import until_somebody_waits_for_a_lock

SHA256 = "ab" * 32


@pytest.fixture
def stranger(database: Database) -> TenantId:
    with database.platform() as tx:
        return ensure(tx, "stranger")


def new(upload_id: UploadId, expires_in_seconds: float | None = None) -> NewUpload:
    return NewUpload(
        id=upload_id,
        filename="a.png",
        content_type="image/png",
        bytes=3,
        sha256=SHA256,
        expires_in_seconds=expires_in_seconds,
    )


def put(database: Database, tenant: TenantId, expires_in_seconds: float | None = None) -> Upload:
    upload_id = new_upload_id()
    with database.begin(tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=60)
        return uploads.insert(tx, new(upload_id, expires_in_seconds))


def planned(database: Database) -> int:
    with database.platform_read() as tx:
        return int(tx.sql("SELECT count(*) FROM removals").scalar_one())


def test_an_upload_is_found_by_its_tenant_alone(database: Database, tenant: TenantId, stranger: TenantId) -> None:
    made = put(database, tenant)
    assert (made.key, made.sha256, made.expires_at) == (upload_key(tenant, made.id), SHA256, None)
    with database.read(tenant) as tx:
        assert uploads.find(tx, made.id) == made
    with database.begin(stranger) as tx:
        assert uploads.find(tx, made.id) is None
        assert uploads.page(tx, before=None, limit=9) == []
        assert uploads.describe(tx, made.id, width=3) is None
        assert not uploads.delete(tx, made.id)
    assert planned(database) == 0


def test_pages_begin_with_the_newest(database: Database, tenant: TenantId) -> None:
    first, second, third = (put(database, tenant).id for _ in range(3))
    with database.read(tenant) as tx:
        assert [one.id for one in uploads.page(tx, before=None, limit=2)] == [third, second]
        assert [one.id for one in uploads.page(tx, before=second, limit=2)] == [first]


def test_what_is_seen_of_a_picture_is_noted_little_by_little(database: Database, tenant: TenantId) -> None:
    made = put(database, tenant)
    with database.begin(tenant) as tx:
        uploads.describe(tx, made.id, width=40, height=30)
        found = uploads.describe(tx, made.id, blurhash="LEHV6nWB2yk8")
    assert found is not None
    assert (found.width, found.height, found.blurhash) == (40, 30, "LEHV6nWB2yk8")


def test_an_upload_that_has_expired_is_not_there_and_is_forgotten(database: Database, tenant: TenantId) -> None:
    old, young = put(database, tenant, 60), put(database, tenant, 3600)
    with database.platform() as tx:
        tx.sql("UPDATE uploads SET expires_at = expires_at - interval '2 minutes'")
    with database.read(tenant) as tx:
        assert uploads.find(tx, old.id) is None
        assert [one.id for one in uploads.page(tx, before=None, limit=9)] == [young.id]
    with database.platform() as tx:
        assert uploads.forget_old(tx, limit=9) == 1
        assert uploads.forget_old(tx, limit=9) == 0
        removal = removals.take_next(tx)
    assert removal is not None
    assert (removal.place, removal.is_due) == (old.key, True)


@pytest.mark.parametrize("deleted", [True, False])
def test_only_the_object_of_a_deleted_upload_goes(database: Database, tenant: TenantId, deleted: bool) -> None:
    """The other upload is given up by a client that does not know that its row was written after all."""
    made = put(database, tenant)
    objects = Blocking(MemoryObjects())
    objects.upload(made.key, b"abc", content_type="image/png")
    with database.begin(tenant) as tx:
        if deleted:
            assert uploads.delete(tx, made.id)
            assert not uploads.delete(tx, made.id)
        else:
            uploads.expect(tx, made.id, due_in_seconds=0)
    assert remove_objects(database, objects) == 1
    if deleted:
        with pytest.raises(ObjectMissing):
            objects.head(made.key)
    else:
        assert objects.head(made.key).size == 3
    assert planned(database) == 0
    objects.close()


def test_an_upload_whose_object_is_being_swept_is_not_written(database: Database, tenant: TenantId) -> None:
    upload_id = new_upload_id()
    with database.begin(tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=0)

    def late() -> None:
        with database.begin(tenant) as tx:
            uploads.insert(tx, new(upload_id))

    with ThreadPoolExecutor(1) as pool:
        with database.platform() as sweeping:
            removal = removals.take_next(sweeping)
            assert removal is not None
            waiting = pool.submit(late)
            until_somebody_waits_for_a_lock(database)
            removals.done(sweeping, removal)
        with pytest.raises(ObjectMissing):
            waiting.result()
    with database.read(tenant) as tx:
        assert uploads.find(tx, upload_id) is None
