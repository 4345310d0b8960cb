"""Which jobs a listing shows: all that fit, none that does not, page by page to the last."""

from datetime import UTC, datetime, timedelta

import pytest

from storage import listing
from storage.database import Database
from storage.ids import least_id, new_id
from storage.listing import JobFilter
from storage.model import JobId, JobState, TenantId
from storage.tenants import ensure
from tests.documents import ECHO, put_in, taken

RARE = {"steps": {"say": {"kind": "echo"}, "look": {"kind": "http.call", "url": "https://example.com"}}}


def pages(database: Database, tenant: TenantId, chosen: JobFilter, limit: int = 2) -> list[list[JobId]]:
    found: list[list[JobId]] = []
    before: JobId | None = None
    while True:
        with database.read(tenant) as tx:
            page, before = listing.listed(tx, chosen, before=before, limit=limit)
        found.append(page)
        if before is None:
            return found


def test_all_jobs_come_newest_first_page_by_page(database: Database, tenant: TenantId) -> None:
    made = [put_in(database, tenant).id for _ in range(5)]
    put_in(database, someone_else(database))
    assert pages(database, tenant, JobFilter()) == [made[:2:-1], made[2:0:-1], made[:1]]


def someone_else(database: Database) -> TenantId:
    with database.platform() as tx:
        return ensure(tx, "another")


def test_a_kind_is_that_of_any_step(database: Database, tenant: TenantId) -> None:
    made = [put_in(database, tenant, document).id for document in (RARE, ECHO, RARE)]
    assert pages(database, tenant, JobFilter(kind="http.call")) == [[made[2], made[0]]]
    assert pages(database, tenant, JobFilter(kind="echo")) == [made[:0:-1], made[:1]]
    assert pages(database, tenant, JobFilter(kind="ech")) == [[]]


@pytest.mark.parametrize("searched", [1, 2, 3, 4, 5, 6])
def test_a_rare_kind_is_searched_for_a_part_at_a_time(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch, searched: int
) -> None:
    monkeypatch.setattr(listing, "SEARCHED", searched)
    rare = put_in(database, tenant, RARE).id
    for _ in range(4):
        put_in(database, tenant)
    found = pages(database, tenant, JobFilter(kind="http.call"))
    assert [job for page in found for job in page] == [rare]
    assert len(found) == 5 // searched + 1  # a search that found no end may find nothing next


def test_state_kind_and_time_hold_together(database: Database, tenant: TenantId) -> None:
    made = [put_in(database, tenant, document) for document in (RARE, RARE, ECHO)]
    taken(database, tenant, made[0], "say")
    running = JobFilter(state=JobState.RUNNING, kind="http.call")
    assert pages(database, tenant, running) == [[made[0].id]]
    assert pages(database, tenant, JobFilter(state=JobState.RUNNING, kind="image.info")) == [[]]


def test_times_are_those_of_acceptance(database: Database, tenant: TenantId) -> None:
    jobs = [put_in(database, tenant) for _ in range(3)]
    with database.begin(tenant) as tx:
        for days, job in enumerate(jobs):  # as if its file had taken so long
            tx.sql(
                "UPDATE jobs SET created_at = created_at + %(by)s WHERE id = %(id)s",
                by=timedelta(hours=days),
                id=job.id,
            )
    middle = jobs[1].created_at + timedelta(hours=1)
    assert pages(database, tenant, JobFilter(created_after=middle)) == [[jobs[2].id, jobs[1].id]]
    assert pages(database, tenant, JobFilter(created_before=middle)) == [[jobs[0].id]]
    last = JobFilter(created_after=middle, created_before=middle + timedelta(microseconds=1))
    assert pages(database, tenant, last) == [[jobs[1].id]]


@pytest.mark.parametrize("walked", [1, 2, 3, 4])
def test_what_was_made_then_is_searched_for_a_part_at_a_time(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(listing, "WALKED", walked)
    oldest, middle, _newest = (put_in(database, tenant) for _ in range(3))
    with database.begin(tenant) as tx:  # as if the clock of the API's machine were half a minute behind, or ahead
        tx.sql("UPDATE jobs SET created_at = created_at - interval '30 s' WHERE id = %(job)s", job=oldest.id)
        tx.sql("UPDATE jobs SET created_at = created_at - interval '20 s' WHERE id = %(job)s", job=middle.id)
    found = pages(database, tenant, JobFilter(created_before=oldest.created_at - timedelta(seconds=10)), limit=5)
    assert [job for page in found for job in page] == [middle.id, oldest.id]
    assert len(found) == 3 // walked + 1


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_times(database: Database, tenant: TenantId, at: datetime) -> None:
    job = put_in(database, tenant).id
    later = at.year == 9999
    assert pages(database, tenant, JobFilter(created_before=at)) == [[job] if later else []]
    assert pages(database, tenant, JobFilter(created_after=at)) == [[] if later else [job]]


def test_the_least_id_of_a_time_sorts_before_all_that_are_made_then() -> None:
    before, made, after = datetime.now(UTC), new_id("job"), datetime.now(UTC)
    assert least_id("job", before) < made < least_id("job", after + timedelta(milliseconds=1))
    assert least_id("job", datetime.fromtimestamp(0, UTC)) == f"job_{'0' * 26}"
