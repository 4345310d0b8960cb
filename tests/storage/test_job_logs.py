"""Log lines that are kept with their jobs."""

from dataclasses import replace
from typing import Any

from storage import job_logs, retention, stops
from storage.database import Database
from storage.job_logs import JobLine, KeptLine
from storage.model import Job, JobId, TenantId
from storage.tenants import ensure
from tests.documents import put_in


def line(job: Job, tenant: TenantId, event: str = "step.started", **changes: Any) -> JobLine:
    made = JobLine(
        tenant_id=tenant,
        job_id=job.id,
        at="2026-01-02T03:04:05.678Z",
        level="info",
        process="worker@here/7",
        event=event,
        step_id=job.steps[0].id,
        attempt=1,
        fields={"seconds": 1.5},
    )
    return replace(made, **changes)


def kept(database: Database, tenant: TenantId, job: Job, *, after: int = 0, limit: int = 2000) -> list[KeptLine]:
    with database.read(tenant) as tx:
        return list(job_logs.page(tx, job.id, after, limit))


def test_a_line_is_read_as_it_was_written_with_the_name_of_its_step(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    error = {"type": "OSError", "message": "no", "stack": "Traceback"}
    whole = line(job, tenant, text="in words", error=error, fields={"a": [1, None], "b": "x"}, private=frozenset("b"))
    job_logs.write(database, [whole])
    (found,) = kept(database, tenant, job)
    assert (found.event, found.level, found.process, found.step, found.attempt) == (
        *("step.started", "info", "worker@here/7"),
        *(job.steps[0].name, 1),
    )
    assert found.at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert (found.text, found.fields, found.error) == ("in words", {"a": [1, None], "b": "x"}, error)
    assert found.private == frozenset("b")


def test_pages_go_on_where_the_one_before_ended(database: Database, tenant: TenantId) -> None:
    job, other = put_in(database, tenant), put_in(database, tenant)
    job_logs.write(database, [line(job, tenant, f"one.{n}") for n in range(3)] + [line(other, tenant)])
    job_logs.write(database, [line(job, tenant, f"two.{n}") for n in range(2)])
    first = kept(database, tenant, job, limit=4)
    assert [one.event for one in first] == ["one.0", "one.1", "one.2", "two.0"]
    assert [one.event for one in kept(database, tenant, job, after=first[-1].id)] == ["two.1"]


def test_only_grave_lines_are_found_where_only_they_are_asked_for(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    job_logs.write(database, [line(job, tenant, f"of.{level}", level=level) for level in job_logs.LEVELS])
    with database.read(tenant) as tx:
        found = job_logs.page(tx, job.id, 0, 10, least="error")
    assert [one.event for one in found] == ["of.error", "of.critical"]


def test_a_tenant_does_not_see_lines_of_another_ones_job(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    job_logs.write(database, [line(job, tenant)])
    with database.platform() as tx:
        other = ensure(tx, "other")
    job_logs.write(database, [line(job, other, "of.nobody")])  # the other has no such job
    assert kept(database, other, job) == []
    assert [one.event for one in kept(database, tenant, job)] == ["step.started"]


def test_a_job_keeps_a_thousand_lines_of_which_the_last_says_so(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    for first in range(0, 1200, 400):
        job_logs.write(database, [line(job, tenant, f"no.{first + n}") for n in range(400)])
    job_logs.write(database, [line(job, tenant, "too.late")])
    found = kept(database, tenant, job)
    assert len(found) == job_logs.MOST_LINES
    assert [one.event for one in found[:-1]] == [f"no.{n}" for n in range(999)]
    assert (found[-1].event, found[-1].level, found[-1].fields) == ("logs.full", "warning", {"lines": 1000})


def test_lines_of_a_job_that_is_gone_are_left_out_and_the_others_kept(database: Database, tenant: TenantId) -> None:
    job, gone = put_in(database, tenant), put_in(database, tenant)
    job_logs.write(database, [line(gone, tenant)])
    with database.begin(tenant) as tx:
        stops.cancel(tx, gone.id)
    with database.begin(tenant) as tx:
        assert retention.delete(tx, gone.id)
    nobody = replace(gone, id=JobId("job_01h455vb4pex5vsknk084sn02q"))
    assert job_logs.write(database, [line(gone, tenant), line(nobody, tenant), line(job, tenant)]) == 0
    assert (len(kept(database, tenant, job)), kept(database, tenant, gone)) == (1, [])


def test_what_the_database_cannot_hold_is_replaced_and_one_bad_line_costs_no_other(
    database: Database, tenant: TenantId
) -> None:
    job = put_in(database, tenant)
    odd = line(job, tenant, fields={"na\0me": "\ud800 \0 \U0001f600", "deep": [{"x": "\udfff"}]})
    never = line(job, tenant, at="no time at all")
    assert job_logs.write(database, [odd, never, line(job, tenant, "good.one")]) == 1
    found = kept(database, tenant, job)
    assert [one.event for one in found] == ["step.started", "good.one"]
    assert found[0].fields == {"na\ufffdme": "\ufffd \ufffd \U0001f600", "deep": [{"x": "\ufffd"}]}
