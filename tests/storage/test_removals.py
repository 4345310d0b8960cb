"""Objects that are to go: planned, withdrawn, taken, put off; and a sweep that meets a submit."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import jobs, removals, replays, steps, stops
from storage.database import Database
from storage.errors import ObjectMissing
from storage.keys import input_key, job_prefix, outputs_prefix
from storage.model import JobId, JobInput, TenantId, new_job_id
from storage.removals import Removal
from storage.tenants import ensure
from tasks.document import parse
from tasks.submit import submit
from tests.documents import ECHO, put_in, taken
from tests.storage.racing import until_somebody_waits_for_a_lock


def file_of(tenant: TenantId, job_id: JobId) -> JobInput:
    return JobInput(key=input_key(tenant, job_id), filename="a.png", content_type="image/png", bytes=3)


def plan(database: Database, tenant: TenantId, job_id: JobId, *, due_in_seconds: float = 0) -> None:
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=due_in_seconds)


def put(database: Database, tenant: TenantId, job_id: JobId) -> JobId:
    with database.begin(tenant) as tx:
        return submit(tx, parse(dict(ECHO)), job_id=job_id, file=file_of(tenant, job_id)).job.id


def take_next(database: Database) -> Removal | None:
    with database.platform() as tx:
        return removals.take_next(tx)


def of(tenant: TenantId, job_id: JobId, *, outputs_only: bool = False, stands: bool = False) -> Removal:
    return Removal(tenant_id=tenant, owner_id=job_id, outputs_only=outputs_only, stands=stands)


def test_a_removal_waits_until_it_is_due_and_the_sooner_time_counts(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id, due_in_seconds=60)
    assert take_next(database) is None
    plan(database, tenant, job_id)
    plan(database, tenant, job_id, due_in_seconds=60)
    assert take_next(database) == of(tenant, job_id)


def test_what_has_been_due_for_longest_is_taken_first_and_once(database: Database, tenant: TenantId) -> None:
    first, second = new_job_id(), new_job_id()
    plan(database, tenant, second)
    plan(database, tenant, first, due_in_seconds=-60)
    with database.platform() as one, database.platform() as two, database.platform() as three:
        assert [removals.take_next(tx) for tx in (one, two, three)] == [of(tenant, first), of(tenant, second), None]


def test_a_removal_is_gone_when_it_is_done_and_comes_again_when_it_is_put_off(
    database: Database, tenant: TenantId
) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    with database.platform() as tx:
        taken_now = removals.take_next(tx)
        assert taken_now is not None
        removals.put_off(tx, taken_now, seconds=60)
    assert take_next(database) is None
    with database.platform() as tx:
        tx.sql("UPDATE removals SET due_at = due_at - interval '60s'")
    with database.platform() as tx:
        again = removals.take_next(tx)
        assert again == taken_now
        removals.done(tx, again)
    assert take_next(database) is None


def test_all_of_a_job_and_its_outputs_are_two_removals(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    everything, outputs = of(tenant, job_id), of(tenant, job_id, outputs_only=True)
    assert everything.place == job_prefix(tenant, job_id)
    assert outputs.place == outputs_prefix(tenant, job_id)
    with database.begin(tenant) as tx:
        removals.plan(tx, job_id)
        removals.plan(tx, job_id, outputs_only=True)
    with database.platform() as tx:
        removals.done(tx, outputs)
    assert take_next(database) == everything


def test_a_submit_withdraws_the_removal_of_its_upload(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    assert put(database, tenant, job_id) == job_id
    assert take_next(database) is None


def test_another_tenant_cannot_withdraw_a_removal(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    with database.begin(stranger) as tx:
        assert not removals.withdraw(tx, job_id)
    assert take_next(database) is not None


def test_a_submit_that_fails_leaves_the_removal_of_its_upload(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    with database.begin(tenant) as tx:
        submit(tx, parse(dict(ECHO)), job_id=job_id, file=file_of(tenant, job_id))
        tx.connection.rollback()
    assert take_next(database) == of(tenant, job_id)


def test_a_sweep_cannot_take_the_file_of_a_job_that_is_being_written(database: Database, tenant: TenantId) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    with database.begin(tenant) as tx:
        submit(tx, parse(dict(ECHO)), job_id=job_id, file=file_of(tenant, job_id))
        assert take_next(database) is None
    assert take_next(database) is None


@pytest.mark.parametrize("store_answers", [True, False])
def test_a_job_whose_file_is_being_swept_is_written_only_if_the_file_stays(
    database: Database, tenant: TenantId, store_answers: bool
) -> None:
    job_id = new_job_id()
    plan(database, tenant, job_id)
    with ThreadPoolExecutor(1) as pool:
        with database.platform() as tx:
            removal = removals.take_next(tx)
            assert removal is not None
            late = pool.submit(put, database, tenant, job_id)
            until_somebody_waits_for_a_lock(database)
            if store_answers:
                removals.done(tx, removal)
            else:
                removals.put_off(tx, removal, seconds=0)
        if store_answers:
            with pytest.raises(ObjectMissing):
                late.result()
        else:
            assert late.result() == job_id
    with database.read(tenant) as tx:
        assert (jobs.find(tx, job_id) is None) == store_answers
    assert take_next(database) is None


def test_a_canceled_job_s_outputs_go_unless_it_runs_again(database: Database, tenant: TenantId) -> None:
    gone, again = (put_in(database, tenant) for _ in range(2))
    for job in (gone, again):
        claim = taken(database, tenant, job, "say")
        with database.begin(tenant) as tx:
            stops.cancel(tx, job.id)
            steps.succeed(tx, claim, {"n": 1, "outputs": [{"name": "small"}]})
    with database.begin(tenant) as tx:
        replays.retry(tx, again.id)
        found = jobs.find(tx, gone.id)
    assert found is not None
    assert found.steps[0].result == {"n": 1}
    with database.platform() as tx:
        removal = removals.take_next(tx)
        assert removal == of(tenant, gone.id, outputs_only=True, stands=True)
        removals.done(tx, removal)
        assert removals.take_next(tx) is None
