"""Schedules whose jobs need a file: each firing fetches its own."""

from typing import Any

import pytest

from storage import jobs
from storage.database import Database
from storage.model import Job, TenantId
from tests.scheduler.timetable import Timetable

RESIZE = {"steps": {"small": {"kind": "image.resize", "variants": [{"name": "small", "width": 64}]}}}
URL = "https://cams.example/{{schedule.local_date}}.jpg?at={{schedule.fire_time}}"


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def started(timetable: Timetable, **fields: Any) -> tuple[Job, str]:
    """The job of a firing, and the parameters' URL of its first step."""
    schedule = timetable.make(every=60, **fields)
    timetable.put_back(schedule, 60)
    timetable.turn()
    [(job_id, _, _)] = timetable.jobs(schedule)
    with timetable.database.read(timetable.tenant) as tx:
        job = jobs.find(tx, job_id)
        url = tx.sql("SELECT params ->> 'url' FROM steps WHERE id = %(id)s", id=job.steps[0].id if job else "")
        assert job is not None
        return job, url.scalar_one()


@pytest.mark.parametrize("asked", [RESIZE, {"template": "thumbnails"}], ids=["steps", "template"])
def test_each_firing_fetches_the_file_of_its_time(timetable: Timetable, asked: dict[str, Any]) -> None:
    job, url = started(timetable, job={"input": {"url": URL}, **asked})
    assert job.fired is not None
    day, at = job.fired.fire_time.date(), job.fired.fire_time.isoformat().replace("+00:00", "Z")
    assert url == f"https://cams.example/{day}.jpg?at={at}"
    assert [(step.name, step.uses) for step in job.steps][1:] == [(job.steps[1].name, ("input",))]
    assert [step.state for step in job.steps] == ["queued", "waiting"]


def test_a_url_that_is_none_once_it_is_filled_in_is_told_of_its_firing(timetable: Timetable) -> None:
    schedule = timetable.make(
        every=60, name="night cam", job={"input": {"url": "https://cams.example/{{schedule.name}}.jpg"}, **RESIZE}
    )
    timetable.put_back(schedule, 60)
    timetable.turn()
    [run] = timetable.runs(schedule)
    assert (run.outcome, run.job_id) == ("failed", None)
    assert "/input/url" in (run.reason or "")
