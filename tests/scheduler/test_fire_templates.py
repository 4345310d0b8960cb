"""Schedules whose jobs come of templates: a pinned version stays, a bare name follows the newest."""

from typing import Any

import pytest

from storage import jobs, schedules, templates
from storage.database import Database
from storage.model import Job, TenantId
from storage.schedule_model import Schedule
from tasks import firing, scheduling
from tasks.firing_plan import plan
from tasks.own_templates import resolver
from tasks.schedules import parse
from tasks.templates import MAX_BYTES
from tests.scheduler.timetable import Timetable


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def put(timetable: Timetable, message: str, *, overrides: Any = None) -> None:
    steps = {"say": {"kind": "echo", "message": message}}
    said = {"word": {"type": "string", "at": ["/say/data"]}} if overrides is None else overrides
    with timetable.database.begin(timetable.tenant) as tx:
        templates.put(tx, "mine", description="", steps=steps, overrides=said)


def make(timetable: Timetable, job: Any) -> Schedule:
    with timetable.database.begin(timetable.tenant) as tx:
        now = schedules.clock(tx)
        spec = parse({"job": job, "every": 60}, now=now, templates=resolver(tx, hold=True))
        return scheduling.create(tx, spec, now)


def fired(timetable: Timetable, schedule: Schedule) -> list[tuple[str, str | None, Any]]:
    """After another nominal time, of each job: what its step says, and which template it is of."""
    timetable.put_back(schedule, 61)
    timetable.turn()
    timetable.end_jobs(schedule)
    return [said(timetable, job_id) for job_id, _, _ in timetable.jobs(schedule)]


def said(timetable: Timetable, job_id: Any) -> tuple[str, str | None, Any]:
    with timetable.database.read(timetable.tenant) as tx:
        job: Job | None = jobs.find(tx, job_id)
        params = jobs.asked_of(tx, job_id)["say"].params
    assert job is not None
    return params["message"], job.template, params.get("data")


def test_a_pinned_version_stays_and_a_bare_name_follows_the_newest(timetable: Timetable) -> None:
    put(timetable, "one")
    pinned, bare = make(timetable, {"template": "mine@1"}), make(timetable, {"template": "mine"})
    assert fired(timetable, pinned) == [("one", "mine@1", None)]
    assert fired(timetable, bare) == [("one", "mine@1", None)]
    put(timetable, "two")
    assert fired(timetable, pinned)[1:] == [("one", "mine@1", None)]
    assert fired(timetable, bare)[1:] == [("two", "mine@2", None)]


def test_what_is_changed_of_it_may_speak_of_the_firing(timetable: Timetable) -> None:
    put(timetable, "one")
    schedule = make(timetable, {"template": "mine", "with": {"word": "of {{schedule.local_date}}"}})
    [(_, _, word)] = fired(timetable, schedule)
    [(_, at, _)] = timetable.jobs(schedule)
    assert word == f"of {at.date()}"


def test_a_version_that_lets_change_less_makes_the_firing_fail_and_say_why(timetable: Timetable) -> None:
    put(timetable, "one")
    schedule = make(timetable, {"template": "mine", "with": {"word": "hi"}})
    put(timetable, "two", overrides={})
    assert fired(timetable, schedule) == []
    [run] = timetable.runs(schedule)
    assert run.outcome == "failed"
    assert "/with/word" in (run.reason or "")


def test_a_template_that_is_gone_makes_the_firing_fail_and_say_why(timetable: Timetable) -> None:
    put(timetable, "one")
    schedule = make(timetable, {"template": "mine@1"})
    with timetable.database.begin(timetable.tenant) as tx:
        assert templates.users(tx, "mine", limit=9) == [schedule.id]
        templates.delete(tx, "mine")
    assert fired(timetable, schedule) == []
    [run] = timetable.runs(schedule)
    assert "there is no such template" in (run.reason or "")


def test_no_pass_makes_more_of_large_templates_than_it_can_hold(
    timetable: Timetable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is small, what comes of it is not: it counts as large as it may be."""
    put(timetable, "one")
    schedule = make(timetable, {"template": "mine"})
    monkeypatch.setattr(firing, "MAX_SHARE", 3 * MAX_BYTES + 1000)
    seen: list[int] = []

    def noting(*given: Any, max_times: int, **said: Any) -> Any:
        seen.append(max_times)
        return plan(*given, max_times=max_times, **said)

    monkeypatch.setattr(firing, "plan", noting)
    timetable.put_back(schedule, 61)
    timetable.turn()
    assert seen == [3]
