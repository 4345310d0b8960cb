"""Renditions as jobs of a test have them, and what is left of them."""

from collections.abc import Iterator, Sequence

import pytest

from storage import renditions, retention, steps
from storage.database import Database
from storage.errors import ObjectMissing, ObjectStoreUnavailable
from storage.image_model import Digest, Facts, Rendition
from storage.keys import rendition_key
from storage.model import Claim, Job, TenantId
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from tests.documents import put_in, taken

A, B = Digest("a" * 64), Digest("b" * 64)
FACTS = Facts(width=40, height=30, frames=1, bytes=3, content_type="image/webp", engine="pillow 13.0.0")
DAY = 86_400.0


class Shaky(MemoryObjects):
    """Refuses to delete while `away`."""

    away = False

    async def delete(self, keys: Sequence[str]) -> None:
        if self.away:
            raise ObjectStoreUnavailable("the store does not answer")
        await super().delete(keys)


@pytest.fixture
def shaky() -> Shaky:
    return Shaky()


@pytest.fixture
def objects(shaky: Shaky) -> Iterator[Blocking]:
    blocking = Blocking(shaky)
    yield blocking
    blocking.close()


def begin(database: Database, tenant: TenantId, job: Job, *digests: str) -> dict[str, Rendition]:
    with database.begin(tenant) as tx:
        return renditions.begin(tx, job.id, digests)


def write(database: Database, objects: Blocking, tenant: TenantId, digest: Digest) -> bool:
    objects.upload(rendition_key(tenant, digest), b"abc", content_type="image/webp")
    with database.begin(tenant) as tx:
        return renditions.finish(tx, digest, FACTS)


def made(database: Database, objects: Blocking, tenant: TenantId, *digests: Digest) -> Job:
    """A job whose step has written these renditions, and has succeeded."""
    job = put_in(database, tenant)
    begin(database, tenant, job, *digests)
    assert all(write(database, objects, tenant, digest) for digest in digests)
    end(database, tenant, taken(database, tenant, job, "say"))
    return job


def end(database: Database, tenant: TenantId, claim: Claim) -> None:
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {})


def delete(database: Database, tenant: TenantId, job: Job) -> None:
    with database.begin(tenant) as tx:
        assert retention.delete(tx, job.id)


def found(database: Database, tenant: TenantId, *digests: Digest) -> set[str]:
    with database.read(tenant) as tx:
        return set(renditions.find(tx, digests))


def forgotten(database: Database, *, days: float) -> int:
    with database.platform() as tx:
        return renditions.forget_old(tx, older_than_seconds=days * DAY, limit=9)


def age(database: Database, *, days: int) -> None:
    with database.platform() as tx:
        tx.sql("UPDATE renditions SET used_at = used_at - make_interval(days => %(days)s)", days=days)


def is_there(objects: Blocking, tenant: TenantId, digest: Digest) -> bool:
    try:
        objects.head(rendition_key(tenant, digest))
    except ObjectMissing:
        return False
    return True


def rows(database: Database) -> int:
    with database.platform_read() as tx:
        return int(tx.sql("SELECT count(*) FROM renditions").scalar_one())


def ended(database: Database, tenant: TenantId, job: Job) -> Job:
    end(database, tenant, taken(database, tenant, job, "say"))
    return job


def unlink(database: Database, job: Job) -> None:
    """As when the job is deleted after its time."""
    with database.platform() as tx:
        tx.sql("DELETE FROM job_renditions WHERE job_id = %(job)s", job=job.id)
