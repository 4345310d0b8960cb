"""Renditions: writers, deletions and removals that meet."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduler.sweep import remove_renditions
from storage import renditions, retention, steps, stops
from storage.database import Database
from storage.errors import LeaseLost
from storage.model import TenantId
from storage.objects.blocking import Blocking
from tests.documents import put_in, taken
from tests.storage.racing import until_somebody_waits_for_a_lock
from tests.storage.sharing import (
    A,
    age,
    begin,
    delete,
    ended,
    forgotten,
    found,
    is_there,
    made,
    objects,
    rows,
    shaky,
    unlink,
    write,
)

__all__ = ["objects", "shaky"]


def test_two_writers_of_one_rendition_have_one(database: Database, tenant: TenantId, objects: Blocking) -> None:
    one, two = put_in(database, tenant), put_in(database, tenant)
    assert begin(database, tenant, one, A) == begin(database, tenant, two, A) == {}
    assert write(database, objects, tenant, A)
    assert write(database, objects, tenant, A)
    assert rows(database) == 1
    delete(database, tenant, ended(database, tenant, one))
    assert begin(database, tenant, two, A).keys() == {A}
    assert remove_renditions(database, objects) == 0


def test_a_job_that_begins_while_another_is_deleted_makes_anew_what_that_took_along(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    old, young = made(database, objects, tenant, A), put_in(database, tenant)
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            retention.delete(tx, old.id)
            late = pool.submit(begin, database, tenant, young, A)
            until_somebody_waits_for_a_lock(database)
        assert late.result() == {}
    assert remove_renditions(database, objects) == 0, "it is wanted again"
    assert write(database, objects, tenant, A)
    assert found(database, tenant, A) == {A}


def test_a_job_that_is_deleted_while_another_begins_leaves_it_what_it_found(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    old, young = made(database, objects, tenant, A), put_in(database, tenant)
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            assert renditions.begin(tx, young.id, [A]).keys() == {A}
            late = pool.submit(delete, database, tenant, old)
            until_somebody_waits_for_a_lock(database)
        late.result()
    assert found(database, tenant, A) == {A}
    assert remove_renditions(database, objects) == 0
    assert is_there(objects, tenant, A)


def test_retention_that_meets_a_begin_leaves_what_that_found(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    unlink(database, made(database, objects, tenant, A))
    age(database, days=8)
    young = put_in(database, tenant)
    with database.begin(tenant) as tx:
        assert renditions.begin(tx, young.id, [A]).keys() == {A}
        assert forgotten(database, days=7) == 0
    assert forgotten(database, days=7) == 0
    unlink(database, young)
    assert forgotten(database, days=7) == 0, "it was used just now"


def test_a_begin_waits_for_a_removal_and_makes_the_rendition_anew(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    delete(database, tenant, made(database, objects, tenant, A))
    young = put_in(database, tenant)
    with ThreadPoolExecutor(1) as pool:

        def meanwhile(keys: Sequence[str]) -> None:
            late.append(pool.submit(begin, database, tenant, young, A))
            until_somebody_waits_for_a_lock(database)
            objects.delete(keys)

        late: list[object] = []
        with database.platform() as tx:
            assert renditions.remove(tx, meanwhile, limit=9) == 1
        [waited] = late
        assert waited.result() == {}  # type: ignore[attr-defined]
    assert write(database, objects, tenant, A)
    assert remove_renditions(database, objects) == 0
    assert is_there(objects, tenant, A)


def test_a_worker_that_begins_as_its_job_ends_begins_nothing(database: Database, tenant: TenantId) -> None:
    """It has lost its step, and has not heard: what it would have made is withheld, and nothing would take it away."""
    job = put_in(database, tenant)
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        stops.cancel(tx, job.id)
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            steps.end_stopped(tx, claim)
            late = pool.submit(begin, database, tenant, job, A)
            until_somebody_waits_for_a_lock(database)
        with pytest.raises(LeaseLost):
            late.result()
    assert rows(database) == 0


def test_a_writer_that_comes_too_late_leaves_no_object(database: Database, tenant: TenantId, objects: Blocking) -> None:
    """Its job was deleted before, and the sweep was there before its object."""
    job = put_in(database, tenant)
    begin(database, tenant, job, A)
    delete(database, tenant, ended(database, tenant, job))
    assert not write(database, objects, tenant, A)
    assert remove_renditions(database, objects) == 1
    assert not write(database, objects, tenant, A)
    assert remove_renditions(database, objects) == 1
    assert (is_there(objects, tenant, A), rows(database)) == (False, 0)
    with pytest.raises(LeaseLost):
        begin(database, tenant, job, A)
    assert rows(database) == 0
