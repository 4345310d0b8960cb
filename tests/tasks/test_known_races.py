"""Jobs whose pictures are there already, written while others use or delete the same: nobody waits in a circle."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from storage import removals, renditions, retention
from storage.database import Database
from storage.image_model import Digest
from storage.keys import input_key
from storage.model import Job, JobInput, JobState, TenantId, new_job_id
from tasks.document import parse
from tasks.renditions import digest
from tasks.submit import submit
from tests.documents import put_in
from tests.storage.sharing import FACTS, ended
from tests.tasks.rendering import identity
from tests.waiting import until

SHA256 = "0" * 64
THREE: dict[str, Any] = {
    "kind": "image.resize",
    "variants": [{"name": f"w{width}", "width": width} for width in (40, 41, 42)],
}


def put(database: Database, tenant: TenantId, **fields: Any) -> Job:
    """A job that asks for three pictures."""
    job_id = new_job_id()
    file = JobInput(key=input_key(tenant, job_id), filename="a.png", content_type="image/png", bytes=3, sha256=SHA256)
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        spec = parse({"steps": {"s": THREE}, **fields})
        return submit(tx, spec, job_id=job_id, file=file, identity=identity).job


def made(database: Database, tenant: TenantId, **fields: Any) -> tuple[Job, list[Digest]]:
    """An ended job that has all three, which were last used an hour ago; and their digests in the order of locks."""
    [step] = parse({"steps": {"s": THREE}}).steps
    digests = sorted(
        digest(
            SHA256,
            variant,
            page=1,
            allow_truncated=False,
            focus=(),
            watermark_sha256=None,
            engine_identity=identity("auto"),
        )
        for variant in step.checked.variants  # type: ignore[attr-defined]
    )
    job = put_in(database, tenant, {"steps": {"say": {"kind": "echo"}}, **fields})
    with database.begin(tenant) as tx:
        renditions.begin(tx, job.id, digests)
        assert all(renditions.finish(tx, one, FACTS) for one in digests)
        tx.sql("UPDATE renditions SET used_at = used_at - interval '1 hour'")
    return ended(database, tenant, job), digests


def until_waiting(database: Database, count: int) -> None:
    def waiting() -> bool:
        with database.platform_read() as tx:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            return bool(tx.sql(f"{asked} AND wait_event_type = 'Lock'").scalar_one() == count)

    until(waiting)


def begin(database: Database, tenant: TenantId, job: Job, digests: list[Digest]) -> int:
    with database.begin(tenant) as tx:
        return len(renditions.begin(tx, job.id, digests))


def test_a_job_and_a_worker_that_want_the_same_pictures_wait_in_one_order(database: Database, tenant: TenantId) -> None:
    _, digests = made(database, tenant)
    other = put_in(database, tenant)
    with ThreadPoolExecutor(2) as pool:
        with database.begin(tenant) as tx:
            asked = "SELECT FROM renditions WHERE tenant_id = %(tenant)s AND digest = %(digest)s FOR UPDATE"
            tx.sql(asked, digest=digests[1])
            worker = pool.submit(begin, database, tenant, other, digests)  # has the first, waits for the second
            until_waiting(database, 1)
            job = pool.submit(put, database, tenant)
            until_waiting(database, 2)
        assert worker.result() == 3
        assert job.result().state is JobState.SUCCEEDED


def test_a_job_may_take_the_key_of_one_that_is_being_deleted_with_the_same_pictures(
    database: Database, tenant: TenantId
) -> None:
    old, digests = made(database, tenant, unique_key="photo")
    with ThreadPoolExecutor(2) as pool:
        with database.begin(tenant) as tx:
            asked = "SELECT FROM renditions WHERE tenant_id = %(tenant)s AND digest = %(digest)s FOR UPDATE"
            tx.sql(asked, digest=digests[1])
            deletion = pool.submit(_delete, database, tenant, old)  # has the first, waits for the second
            until_waiting(database, 1)
            job = pool.submit(put, database, tenant, unique_key="photo")
            until_waiting(database, 2)
        assert deletion.result()
        assert job.result().state is JobState.QUEUED, "they went with the other"


def _delete(database: Database, tenant: TenantId, job: Job) -> bool:
    with database.begin(tenant) as tx:
        return retention.delete(tx, job.id)
