"""Renditions: shared by the jobs of a tenant, made once, and gone only when nobody has them."""

import pytest

from scheduler.sweep import remove_renditions
from storage import renditions, retention, steps, stops
from storage.database import Database
from storage.errors import LeaseLost
from storage.image_model import Rendition
from storage.keys import rendition_key
from storage.model import TenantId, new_job_id
from storage.objects.blocking import Blocking
from storage.tenants import ensure
from tests.documents import put_in, taken
from tests.storage.sharing import (
    DAY,
    FACTS,
    A,
    B,
    Shaky,
    age,
    begin,
    delete,
    end,
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

CHECKED = {
    "steps": {
        "look": {"kind": "echo", "data": {"bad": True}, "stop_when": "data.bad == true"},
        "small": {"kind": "echo"},
    }
}


def test_what_is_begun_is_to_be_made_until_it_is_finished(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    job, other = put_in(database, tenant), put_in(database, tenant)
    assert begin(database, tenant, job, B, A, B) == {}
    assert begin(database, tenant, other, A) == {}
    assert found(database, tenant, A, B) == set()
    assert write(database, objects, tenant, A)
    rendition = Rendition(digest=A, key=rendition_key(tenant, A), facts=FACTS)
    assert begin(database, tenant, other, A, B) == {A: rendition}
    assert found(database, tenant, A, B) == {A}


def test_a_tenant_never_sees_the_renditions_of_another(database: Database, tenant: TenantId, objects: Blocking) -> None:
    made(database, objects, tenant, A)
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    assert found(database, stranger, A) == set()
    assert begin(database, stranger, put_in(database, stranger), A) == {}
    with database.begin(stranger) as tx:
        renditions.miss(tx, A)
    assert found(database, tenant, A) == {A}


def test_a_rendition_goes_with_the_last_job_that_is_deleted(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    first, second = made(database, objects, tenant, A, B), made(database, objects, tenant, A)
    delete(database, tenant, first)
    assert remove_renditions(database, objects) == 1
    assert [is_there(objects, tenant, one) for one in (A, B)] == [True, False]
    delete(database, tenant, second)
    assert remove_renditions(database, objects) == 1
    assert not is_there(objects, tenant, A)
    assert rows(database) == 0


def test_a_job_whose_time_is_over_leaves_its_renditions_to_others(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    job = made(database, objects, tenant, A)
    with database.platform() as tx:
        tx.sql("UPDATE jobs SET finished_at = finished_at - interval '2 days' WHERE id = %(job)s", job=job.id)
        assert retention.delete_old(tx, dict.fromkeys(type(job.state), DAY), limit=9) == 1
    assert remove_renditions(database, objects) == 0
    assert begin(database, tenant, put_in(database, tenant), A).keys() == {A}


@pytest.mark.parametrize("way", ["rejected", "canceled"])
def test_what_only_a_withheld_job_has_goes_at_once(
    database: Database, tenant: TenantId, objects: Blocking, way: str
) -> None:
    made(database, objects, tenant, A)
    job = put_in(database, tenant, CHECKED)
    small = taken(database, tenant, job, "small")
    assert begin(database, tenant, job, A, B).keys() == {A}
    assert write(database, objects, tenant, B)
    end(database, tenant, small)
    with database.begin(tenant) as tx:
        if way == "canceled":
            stops.cancel(tx, job.id)
        else:
            claim = steps.claim(tx, job.id, job.steps[0].id, worker="w", slot=1, lease_seconds=30)
            assert claim is not None
            stops.reject(tx, claim, {"data": {"bad": True}})
    assert found(database, tenant, A, B) == {A}
    assert remove_renditions(database, objects) == 1
    assert [is_there(objects, tenant, one) for one in (A, B)] == [True, False]


def test_what_nobody_has_used_for_long_is_forgotten_and_what_a_job_has_is_not(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    job = made(database, objects, tenant, A, B)
    made(database, objects, tenant, B)
    age(database, days=8)
    assert forgotten(database, days=7) == 0
    unlink(database, job)
    assert found(database, tenant, A) == {A}, "which is a use"
    assert forgotten(database, days=7) == 0
    age(database, days=8)
    assert forgotten(database, days=7) == 1
    assert remove_renditions(database, objects) == 1
    assert [is_there(objects, tenant, one) for one in (A, B)] == [False, True]


def test_what_a_killed_writer_has_left_goes_after_its_job(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    job = put_in(database, tenant)
    begin(database, tenant, job, A)
    objects.upload(rendition_key(tenant, A), b"abc", content_type="image/webp")
    age(database, days=2)
    assert forgotten(database, days=7) == 0, "another attempt may still come"
    unlink(database, job)
    assert forgotten(database, days=7) == 1
    assert remove_renditions(database, objects) == 1
    assert (is_there(objects, tenant, A), rows(database)) == (False, 0)


def test_a_job_that_is_not_there_begins_nothing(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx, pytest.raises(LeaseLost):
        renditions.begin(tx, new_job_id(), [A])


def test_an_object_that_is_missing_is_made_anew_and_the_jobs_have_it_again(
    database: Database, tenant: TenantId, objects: Blocking
) -> None:
    job = made(database, objects, tenant, A)
    with database.begin(tenant) as tx:
        renditions.miss(tx, A)
    assert found(database, tenant, A) == set()
    age(database, days=2)
    assert forgotten(database, days=7) == 0, "a job still has it"
    assert begin(database, tenant, put_in(database, tenant), A) == {}
    assert write(database, objects, tenant, A)
    delete(database, tenant, job)
    assert found(database, tenant, A) == {A}


def test_while_the_store_is_away_nothing_is_lost_and_later_it_goes(
    database: Database, tenant: TenantId, objects: Blocking, shaky: Shaky
) -> None:
    delete(database, tenant, made(database, objects, tenant, A))
    shaky.away = True
    assert remove_renditions(database, objects) == 0
    shaky.away = False
    assert remove_renditions(database, objects) == 0, "not before its time"
    assert is_there(objects, tenant, A)
    with database.platform() as tx:
        tx.sql("UPDATE renditions SET gone_at = now()")
    assert remove_renditions(database, objects) == 1
    assert not is_there(objects, tenant, A)
