"""Log lines that are kept with their jobs."""

from dataclasses import replace
from typing import Any

from storage import job_log_pages, job_logs, retention, runnable, steps, stops
from storage.database import Database
from storage.job_log_pages import Cursor, LogLine
from storage.job_logs import JobLine
from storage.model import Claim, Job, JobId, PublicError, TenantId
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


def pages(database: Database, tenant: TenantId, job: Job, *, limit: int = 2000) -> list[list[LogLine]]:
    """All pages of the job's log; the last is the first that is not full."""
    found, after = list[list[LogLine]](), Cursor()
    while not found or len(found[-1]) == limit:
        with database.read(tenant) as tx:
            page, after = job_log_pages.page(tx, job.id, after, limit)
        found.append(list(page))
    return found


def kept(database: Database, tenant: TenantId, job: Job) -> list[LogLine]:
    """What is no event."""
    return [line for page in pages(database, tenant, job) for line in page if not line.is_event]


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
    found = pages(database, tenant, job, limit=4)
    assert [[one.event for one in page] for page in found] == [
        ["one.0", "one.1", "one.2", "two.0"],
        ["two.1", "job.queued"],  # the lines say that they are older
    ]


def test_the_events_of_a_job_are_lines_of_its_log(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, {"steps": {"say": {"kind": "echo"}, "then": {"kind": "echo", "use": ["say"]}}})
    claim = take(database, tenant, job)
    with database.begin(tenant) as tx:
        steps.report(tx, claim, 0.5, {})
    with database.begin(tenant) as tx:
        steps.retry(tx, claim, PublicError(code="busy", message="not now"), delay_seconds=0)
    with database.platform() as platform:
        runnable.make_due_queued(platform, limit=10)
    again = take(database, tenant, job)
    with database.begin(tenant) as tx:
        steps.fail(tx, again, PublicError(code="broken", message="never"))
    (found,) = pages(database, tenant, job)
    assert [(one.level, one.event, one.step, one.attempt) for one in found] == [
        ("info", "job.queued", None, None),
        ("info", "job.running", None, None),
        ("info", "step.running", "say", 1),
        ("warning", "step.retrying", "say", 1),
        ("info", "step.running", "say", 2),
        ("error", "step.failed", "say", 2),
        ("info", "step.canceled", "then", None),
        ("error", "job.failed", None, None),
    ]
    assert {one.process for one in found if one.attempt} == {"w"}
    assert found[3].fields.keys() == {"kind", "seconds", "delay_seconds", "code", "reason"}
    assert (found[5].fields["code"], found[5].fields["reason"]) == ("broken", "never")
    with database.read(tenant) as tx:
        grave, _ = job_log_pages.page(tx, job.id, Cursor(), 10, least="error")
    assert [one.event for one in grave] == ["step.failed", "job.failed"]


def take(database: Database, tenant: TenantId, job: Job) -> Claim:
    with database.begin(tenant) as tx:
        claim = steps.claim(tx, job.id, job.steps[0].id, worker="w", slot=1, lease_seconds=60)
    assert claim is not None
    return claim


def test_only_grave_lines_are_found_where_only_they_are_asked_for(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    job_logs.write(database, [line(job, tenant, f"of.{level}", level=level) for level in job_logs.LEVELS])
    with database.read(tenant) as tx:
        found, _ = job_log_pages.page(tx, job.id, Cursor(), 10, least="error")
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
