"""The platform's housekeeping, as a worker does it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage import firings, idempotency, jobs, renditions, retention_settings, uploads
from storage.errors import ConfigurationError
from storage.image_model import Digest, NewUpload, new_upload_id
from storage.model import Job, JobState, TenantId, new_job_id
from storage.schedule_model import NewFiring, Outcome
from tasks import base, document, retention
from tasks.errors import InvalidDocument
from tasks.names import KINDS
from tasks.process import Process
from tasks.submit import submit
from tests.documents import put_in
from tests.scheduler.timetable import Timetable

KIND = KINDS["platform.retention"]
DAY = 86_400.0


def clean(process: Process, tenant: TenantId) -> Job:
    """The kind's work, from claim to end; returns the job that it was for."""
    spec = document.parse({"steps": {"clean": {"kind": KIND.name}}}, kinds=KINDS)
    with process.database.begin(tenant) as tx:
        job = submit(tx, spec, job_id=new_job_id(), file=None).job
    base.perform(process, KIND, tenant, job.id, job.steps[0].id)
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    return found


def test_it_deletes_what_was_kept_long_enough_and_nothing_else(process: Process, tenant: TenantId) -> None:
    here = replace(process, settings=replace(process.settings, kept_seconds={JobState.SUCCEEDED: DAY}))
    old, young, failed = (put_in(process.database, tenant) for _ in range(3))
    with process.database.begin(tenant) as tx:
        for job, state, days in ((old, "succeeded", 2), (young, "succeeded", 0.5), (failed, "failed", 500)):
            tx.sql(
                "UPDATE jobs SET state = %(state)s, finished_at = now() - make_interval(hours => %(hours)s::int)"
                " WHERE tenant_id = %(tenant)s AND id = %(job)s",
                state=state,
                hours=int(days * 24),
                job=job.id,
            )
        for number in range(retention.BATCH + 5):
            idempotency.reserve(tx, f"k{number}", lock_seconds=60)
        tx.sql("UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE tenant_id = %(tenant)s")
        idempotency.reserve(tx, "young", lock_seconds=60)
    done = clean(here, tenant)
    assert done.state is JobState.SUCCEEDED
    deleted = done.steps[0].result["deleted"]
    assert {what: count for what, count in deleted.items() if count} == {
        "idempotency_keys": retention.BATCH + 5,
        "jobs": 1,
    }
    with process.database.platform() as tx:
        assert [row.key for row in tx.sql("SELECT key FROM idempotency")] == ["young"]
        assert {row.id for row in tx.sql("SELECT id FROM jobs")} == {young.id, failed.id, done.id}


def test_records_of_firings_go_after_their_time_but_for_those_that_wait(process: Process, tenant: TenantId) -> None:
    timetable = Timetable(process.database, tenant)
    schedule = timetable.make()
    ago = datetime.now(UTC) - timedelta(days=60)
    written = [(ago + timedelta(days=day), outcome) for day, outcome in enumerate((Outcome.MISSED, Outcome.BUFFERED))]
    with process.database.platform() as tx:
        rows = [NewFiring(nominal_at=at, outcome=outcome) for at, outcome in written]
        firings.insert(tx, [(tenant, schedule.id, row) for row in rows])
        tx.sql("UPDATE firings SET fired_at = nominal_at")
        young = NewFiring(nominal_at=ago + timedelta(days=9), outcome=Outcome.MISSED)
        firings.insert(tx, [(tenant, schedule.id, young)])
    assert clean(process, tenant).steps[0].result["deleted"]["firings"] == 1
    assert [run.nominal_at for run in timetable.runs(schedule)] == [written[1][0], young.nominal_at]


def test_it_ends_in_time_and_leaves_the_rest_to_the_next(
    process: Process, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.retention.WORK_SECONDS", -1.0)
    with process.database.begin(tenant) as tx:
        for number in range(retention.BATCH + 5):
            idempotency.reserve(tx, f"k{number}", lock_seconds=60)
        tx.sql("UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE tenant_id = %(tenant)s")
    assert [clean(process, tenant).steps[0].result["deleted"]["idempotency_keys"] for _ in range(2)] == [100, 5]


def test_no_tenant_may_ask_for_it() -> None:
    with pytest.raises(InvalidDocument, match="there is no such kind"):
        document.parse({"steps": {"clean": {"kind": KIND.name}}})


def test_days_by_state() -> None:
    found = retention_settings.from_env({"RETENTION_DAYS": "succeeded=7, failed=0"})
    assert found == {JobState.SUCCEEDED: 7 * DAY, JobState.CANCELED: 30 * DAY, JobState.EXPIRED: 30 * DAY}
    assert retention_settings.from_env({"RETENTION_DAYS": "0"}) == {}
    assert set(retention_settings.from_env({}).values()) == {30 * DAY}


@pytest.mark.parametrize("raw", ["sucseeded=3", "-1", "nan", "many", "failed="])
def test_days_that_are_none(raw: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^RETENTION_DAYS"):
        retention_settings.from_env({"RETENTION_DAYS": raw})


def test_it_forgets_uploads_that_have_expired_and_pictures_that_nobody_has(process: Process, tenant: TenantId) -> None:
    digests = [Digest(character * 64) for character in "abc"]
    with process.database.begin(tenant) as tx:
        for seconds in (60.0, None):
            upload_id = new_upload_id()
            uploads.expect(tx, upload_id, due_in_seconds=60)
            new = NewUpload(
                id=upload_id,
                filename="a.png",
                content_type="image/png",
                bytes=3,
                sha256=digests[0],
                expires_in_seconds=seconds,
            )
            uploads.insert(tx, new)
        tx.sql("UPDATE uploads SET expires_at = expires_at - interval '2 minutes' WHERE tenant_id = %(tenant)s")
        job = put_in(process.database, tenant)
        renditions.begin(tx, job.id, digests[:1])
        tx.sql("INSERT INTO renditions (tenant_id, digest, made_at) VALUES (%(tenant)s, %(a)s, now())", a=digests[1])
        tx.sql("UPDATE renditions SET used_at = used_at - interval '8 days' WHERE tenant_id = %(tenant)s")
        tx.sql("INSERT INTO renditions (tenant_id, digest, made_at) VALUES (%(tenant)s, %(a)s, now())", a=digests[2])
    deleted = clean(process, tenant).steps[0].result["deleted"]
    assert {what: count for what, count in deleted.items() if count} == {"uploads": 1, "renditions": 1}
    with process.database.platform_read() as platform:
        gone = platform.sql("SELECT digest FROM renditions WHERE gone_at IS NOT NULL").scalars().all()
    assert gone == [digests[1]]
    here = replace(process, settings=replace(process.settings, rendition_days=0))
    deleted = clean(here, tenant).steps[0].result["deleted"]
    assert deleted["renditions"] == 1, "where nothing is shared, nothing is kept"


def test_days_of_pictures() -> None:
    assert retention_settings.rendition_days({}) == 7
    assert retention_settings.rendition_days({"RENDITION_DAYS": "0.5"}) == 0.5
    assert retention_settings.rendition_days({"RENDITION_DAYS": "0"}) == 0


@pytest.mark.parametrize("raw", ["-1", "nan", "many", "4000", "7 days"])
def test_days_of_pictures_that_are_none(raw: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^RENDITION_DAYS"):
        retention_settings.rendition_days({"RENDITION_DAYS": raw})
