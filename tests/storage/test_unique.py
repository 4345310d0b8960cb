"""Jobs that must not be there twice: each mode, many at once, and what frees a key."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from storage import replays, retention, steps, stops, unique
from storage.database import Database
from storage.model import JobId, PublicError, TenantId, new_job_id
from storage.tenants import ensure
from tasks.document import parse
from tasks.submit import Submitted, submit
from tests.documents import CHAIN, taken
from tests.storage.racing import until_somebody_waits_for_a_lock

QUEUED, ACTIVE, HOUR = "while_queued", "while_active", {"ttl_seconds": 3600}
MODES = [QUEUED, ACTIVE, HOUR]


def put(database: Database, tenant: TenantId, mode: Any = ACTIVE, *, key: str = "k") -> Submitted:
    spec = parse({**CHAIN, "unique_key": key, "unique": mode})
    with database.begin(tenant) as tx:
        return submit(tx, spec, job_id=new_job_id(), file=None)


def start(database: Database, tenant: TenantId, made: Submitted) -> None:
    taken(database, tenant, made.job, "first")


def end(database: Database, tenant: TenantId, made: Submitted) -> None:
    claim = taken(database, tenant, made.job, "first")
    with database.begin(tenant) as tx:
        steps.fail(tx, claim, PublicError(code="boom", message="it broke"))


def cancel(database: Database, tenant: TenantId, made: Submitted) -> None:
    with database.begin(tenant) as tx:
        stops.cancel(tx, made.job.id)


def delete(database: Database, tenant: TenantId, made: Submitted) -> None:
    cancel(database, tenant, made)
    with database.begin(tenant) as tx:
        retention.delete(tx, made.job.id)


def grow_old(database: Database, tenant: TenantId, made: Submitted) -> None:
    with database.begin(tenant) as tx:
        tx.sql("UPDATE jobs SET created_at = created_at - interval '1 hour' WHERE tenant_id = %(tenant)s")


def nothing(database: Database, tenant: TenantId, made: Submitted) -> None:
    return


HELD: Mapping[Any, tuple[bool, bool, bool]] = {  # what happened → whether the key is still held, by mode as in MODES
    nothing: (True, True, True),
    start: (False, True, True),
    end: (False, False, True),
    cancel: (False, False, True),
    grow_old: (True, True, False),
    delete: (False, False, False),
}


@pytest.mark.parametrize("happened", HELD)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_job_holds_its_key_for_as_long_as_its_mode_says(
    database: Database, tenant: TenantId, mode: Any, happened: Any
) -> None:
    first = put(database, tenant, mode)
    assert first.created
    happened(database, tenant, first)
    second = put(database, tenant, mode)
    held = HELD[happened][MODES.index(mode)]
    assert (not second.created) == (second.job.id == first.job.id) == held
    assert put(database, tenant, mode).job.id == second.job.id, "whoever has it now holds it"


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_many_that_take_a_key_at_once_make_one_job(database: Database, tenant: TenantId, mode: Any) -> None:
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda _: put(database, tenant, mode), range(24)))
    assert sum(one.created for one in made) == 1
    assert len({one.job.id for one in made}) == 1
    with database.read(tenant) as tx:
        assert tx.sql("SELECT count(*) FROM jobs WHERE tenant_id = %(tenant)s").scalar_one() == 1


def test_many_that_take_the_key_of_an_ended_job_make_one_more(database: Database, tenant: TenantId) -> None:
    first = put(database, tenant)
    end(database, tenant, first)
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda _: put(database, tenant), range(24)))
    assert sum(one.created for one in made) == 1
    assert {one.job.id for one in made} & {first.job.id} == set()


@pytest.mark.parametrize("commits", [True, False])
def test_whoever_comes_second_waits_for_how_the_first_goes(database: Database, tenant: TenantId, commits: bool) -> None:
    spec = parse({**CHAIN, "unique_key": "k"})
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            first = submit(tx, spec, job_id=new_job_id(), file=None)
            second = pool.submit(put, database, tenant)
            until_somebody_waits_for_a_lock(database)
            if not commits:
                tx.connection.rollback()
        assert (second.result().job.id == first.job.id) == commits


def test_keys_of_tenants_and_other_keys_have_nothing_to_do_with_each_other(
    database: Database, tenant: TenantId
) -> None:
    with database.platform() as tx:
        other = ensure(tx, "other")
    made = [put(database, tenant), put(database, other), put(database, tenant, key="l")]
    assert all(one.created for one in made)


def test_a_job_that_runs_again_holds_the_key_that_nobody_took_meanwhile(database: Database, tenant: TenantId) -> None:
    first = put(database, tenant)
    end(database, tenant, first)
    with database.begin(tenant) as tx:
        replays.retry(tx, first.job.id)
    assert put(database, tenant).job.id == first.job.id


def test_deleting_a_job_leaves_the_key_that_another_one_took(database: Database, tenant: TenantId) -> None:
    first = put(database, tenant)
    end(database, tenant, first)
    second = put(database, tenant)
    with database.begin(tenant) as tx:
        assert retention.delete(tx, first.job.id)
    assert put(database, tenant).job.id == second.job.id


def test_old_keys_are_forgotten_unless_their_job_goes_on(database: Database, tenant: TenantId) -> None:
    made = {key: put(database, tenant, key=key) for key in ("ended", "goes on", "gone", "young")}
    for key in ("ended", "gone", "young"):
        cancel(database, tenant, made[key])
    with database.begin(tenant) as tx:
        tx.sql("DELETE FROM jobs WHERE tenant_id = %(tenant)s AND id = %(job)s", job=made["gone"].job.id)
        tx.sql(
            "UPDATE unique_keys SET created_at = now() - interval '2 h' WHERE tenant_id = %(tenant)s AND key <> 'young'"
        )
    with database.platform() as tx:
        assert unique.forget_old(tx, older_than_seconds=3600, limit=1) == 1
        assert unique.forget_old(tx, older_than_seconds=3600, limit=9) == 1
        kept: dict[str, JobId] = {row.key: row.job_id for row in tx.sql("SELECT key, job_id FROM unique_keys")}
    assert kept == {key: made[key].job.id for key in ("goes on", "young")}
