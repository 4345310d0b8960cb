"""The sweeper's removals against objects that really are there."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from scheduler.sweep import AGAIN_SECONDS, remove_objects, sweep
from storage import removals, replays, retention, steps, stops
from storage.database import Database
from storage.errors import DatabaseUnavailable, ObjectMissing, ObjectStoreUnavailable
from storage.keys import input_key, output_key
from storage.model import Claim, JobId, JobInput, JobState, TenantId, new_job_id
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from tasks.document import parse
from tasks.submit import submit
from tests.documents import ECHO, put_in, taken
from tests.waiting import until


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


def store(objects: Blocking, key: str) -> str:
    objects.upload(key, b"abc", content_type="image/png")
    return key


def is_there(objects: Blocking, key: str) -> bool:
    try:
        objects.head(key)
    except ObjectMissing:
        return False
    return True


def with_file(database: Database, objects: Blocking, tenant: TenantId) -> tuple[Claim, str, str]:
    """A job whose step runs: its claim, the key of its input and of an output."""
    job_id = new_job_id()
    given = JobInput(key=store(objects, input_key(tenant, job_id)), filename="a", content_type="image/png", bytes=3)
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        job = submit(tx, parse(dict(ECHO)), job_id=job_id, file=given).job
    claim = taken(database, tenant, job, "say")
    return claim, given.key, store(objects, output_key(tenant, job_id, claim.step_id, claim.attempt, "small"))


def plan(database: Database, tenant: TenantId, job_id: JobId) -> None:
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id)


def planned(database: Database) -> int:
    with database.platform_read() as tx:
        return int(tx.sql("SELECT count(*) FROM removals").scalar_one())


def test_an_upload_that_became_no_job_is_removed(database: Database, tenant: TenantId, objects: Blocking) -> None:
    gone, other = new_job_id(), new_job_id()
    keys = [store(objects, input_key(tenant, job_id)) for job_id in (gone, other)]
    plan(database, tenant, gone)
    assert remove_objects(database, objects) == 1
    assert [is_there(objects, key) for key in keys] == [False, True]
    assert planned(database) == 0


def test_the_file_of_a_job_that_stands_is_kept_whatever_was_planned(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    claim, file, output = with_file(database, objects, tenant)
    plan(database, tenant, claim.job_id)
    assert remove_objects(database, objects) == 1
    assert is_there(objects, file)
    assert is_there(objects, output)
    assert planned(database) == 0


def test_a_canceled_job_loses_its_outputs_and_keeps_its_file(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    claim, file, output = with_file(database, objects, tenant)
    with database.begin(tenant) as tx:
        stops.cancel(tx, claim.job_id)
    assert remove_objects(database, objects) == 0, "its step still runs"
    with database.begin(tenant) as tx:
        steps.end_stopped(tx, claim)
    assert remove_objects(database, objects) == 1
    assert (is_there(objects, file), is_there(objects, output)) == (True, False)


def test_a_canceled_job_that_runs_again_keeps_what_it_makes(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    claim, _, output = with_file(database, objects, tenant)
    with database.begin(tenant) as tx:
        stops.cancel(tx, claim.job_id)
        steps.end_stopped(tx, claim)
        replays.retry(tx, claim.job_id)
    assert remove_objects(database, objects) == 0
    assert is_there(objects, output)


def test_a_job_that_was_kept_long_enough_goes_with_all_its_objects(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    claim, file, output = with_file(database, objects, tenant)
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {})
        tx.sql("UPDATE jobs SET finished_at = now() - interval '2 days' WHERE tenant_id = %(tenant)s")
    with database.platform() as tx:
        assert retention.delete_old(tx, {JobState.SUCCEEDED: 86_400.0}, limit=10) == 1
    assert remove_objects(database, objects) == 1
    assert (is_there(objects, file), is_there(objects, output)) == (False, False)
    assert planned(database) == 0


def test_jobs_of_other_tenants_keep_their_objects(database: Database, tenant: TenantId, objects: Blocking) -> None:
    job = put_in(database, tenant)
    stranger = TenantId("ten_01h455vb4pex5vsknk084sn02q")
    keys = [store(objects, input_key(whose, job.id)) for whose in (tenant, stranger)]
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
        retention.delete(tx, job.id)
    remove_objects(database, objects)
    assert [is_there(objects, key) for key in keys] == [False, True]


def test_while_the_store_is_away_removals_are_put_off_and_none_is_lost(
    database: Database, tenant: TenantId, objects: Blocking, shaky: Shaky
) -> None:
    gone = [new_job_id() for _ in range(3)]
    keys = [store(objects, input_key(tenant, job_id)) for job_id in gone]
    for job_id in gone:
        plan(database, tenant, job_id)
    shaky.away = True
    assert remove_objects(database, objects) == 0
    assert planned(database) == 3
    shaky.away = False
    assert remove_objects(database, objects) == 0, "not before its time"
    with database.platform() as tx:
        tx.sql("UPDATE removals SET due_at = due_at - make_interval(secs => %(secs)s)", secs=AGAIN_SECONDS)
    assert remove_objects(database, objects) == 3
    assert not any(is_there(objects, key) for key in keys)


def test_two_sweepers_share_the_removals(database: Database, tenant: TenantId, objects: Blocking) -> None:
    first, second = new_job_id(), new_job_id()
    keys = [store(objects, input_key(tenant, job_id)) for job_id in (first, second)]
    for job_id in (first, second):
        plan(database, tenant, job_id)
    with database.platform() as tx:
        assert removals.take_next(tx) is not None
        assert remove_objects(database, objects) == 1
    assert sorted(is_there(objects, key) for key in keys) == [False, True]
    assert remove_objects(database, objects) == 1
    assert not any(is_there(objects, key) for key in keys)


def test_a_sweeper_that_is_told_to_stop_begins_nothing(database: Database, tenant: TenantId, objects: Blocking) -> None:
    plan(database, tenant, new_job_id())
    stop = threading.Event()
    stop.set()
    assert remove_objects(database, objects, stop) == 0
    assert planned(database) == 1


def test_the_loop_sweeps_objects_until_it_is_stopped(
    database: Database, tenant: TenantId, objects: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.sweep.INTERVAL_SECONDS", 0.01)
    claim, file, _ = with_file(database, objects, tenant)
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {})
        assert retention.delete(tx, claim.job_id)
    stop = threading.Event()
    sweeper = threading.Thread(target=sweep, args=(database, objects, stop))
    sweeper.start()
    try:
        until(lambda: not is_there(objects, file))
    finally:
        stop.set()
        sweeper.join(timeout=10)
    assert not sweeper.is_alive()


def test_a_sweep_whose_database_goes_away_takes_no_removal_with_it(
    database: Database, tenant: TenantId, objects: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(database, tenant, new_job_id())

    def away(*_: object) -> None:
        raise DatabaseUnavailable("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(removals, "done", away)
        with pytest.raises(DatabaseUnavailable):
            remove_objects(database, objects)
    assert planned(database) == 1
    assert remove_objects(database, objects) == 1
