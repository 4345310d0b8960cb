"""`/v1/schedules`: made, read, listed, changed, paused and deleted by their owner, and by nobody else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from storage import schedules
from storage.model import ScheduleId
from tasks import scheduling
from tasks.schedule_document import ScheduleDocument
from tasks.schedules import parse
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.timetable import NIGHTLY, ask, every, fire, made, rows, runs, shown
from tests.documents import ECHO

DEFAULTS: dict[str, Any] = {
    "name": None,
    "every": None,
    "anchor": None,
    "at": None,
    "jitter_seconds": 0.0,
    "start_at": None,
    "end_at": None,
    "exclude": [],
    "overlap": "skip",
    "catch_up": "last",
    "catch_up_seconds": 86_400.0,
    "pause_on_failure": False,
    "max_runs": None,
}


def change(api: Api, schedule: Any, patch: Any, if_match: str | None = "*", **headers: str) -> httpx2.Response:
    sent = headers | ({} if if_match is None else {"If-Match": if_match})
    return ask(api.acme, "PATCH", f"/{schedule['id']}", sent, json=patch)


def changed(api: Api, schedule: Any, patch: Any) -> Any:
    answer = change(api, schedule, patch)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_schedule_is_made_with_every_default_and_says_when_it_fires(api: Api) -> None:
    answer = ask(api.acme, "POST", "", json=NIGHTLY)
    schedule = answer.json()
    assert answer.status_code == 201
    assert (answer.headers["location"], answer.headers["etag"]) == (f"/v1/schedules/{schedule['id']}", '"1"')
    assert {field: schedule[field] for field in DEFAULTS} == DEFAULTS
    assert {field: schedule[field] for field in NIGHTLY} == NIGHTLY
    assert schedule["id"].startswith("sch_")
    assert (schedule["state"], schedule["runs"], schedule["version"], schedule["source"]) == ("active", 0, 1, None)
    assert "03:00" in schedule["words"]
    assert "Europe/Berlin" in schedule["words"]
    next_at = datetime.fromisoformat(schedule["next_fire_at"])
    assert timedelta(0) < next_at - datetime.now(UTC) < timedelta(days=1, hours=2)
    assert schedule["next_fire_at"].endswith("Z")
    assert schedule["links"] == {
        "self": f"/v1/schedules/{schedule['id']}",
        "runs": f"/v1/schedules/{schedule['id']}/runs",
    }
    again = ask(api.acme, "GET", f"/{schedule['id']}")
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, schedule, '"1"')


def test_every_field_that_can_be_asked_for_is_shown(api: Api) -> None:
    assert set(ScheduleDocument.model_fields) < set(made(api.acme))


def test_times_without_an_offset_are_the_zones_own_and_are_shown_in_utc(api: Api) -> None:
    schedule = every(
        api.acme, 60, timezone="Europe/Berlin", anchor="2026-07-01T12:00:00", end_at="2099-01-01T00:00:00+02:00"
    )
    assert (schedule["anchor"], schedule["end_at"]) == ("2026-07-01T10:00:00Z", "2098-12-31T22:00:00Z")


def test_an_interval_begins_when_the_schedule_is_made_by_the_databases_clock(api: Api) -> None:
    schedule = every(api.acme, 3600)
    anchor, made_at = (datetime.fromisoformat(schedule[field]) for field in ("anchor", "created_at"))
    assert abs(anchor - made_at) < timedelta(seconds=2)
    assert datetime.fromisoformat(schedule["next_fire_at"]) == anchor + timedelta(hours=1)


def test_a_name_belongs_to_one_schedule_of_a_tenant(api: Api) -> None:
    made(api.acme, name="nightly")
    answer = ask(api.acme, "POST", "", json=NIGHTLY | {"name": "nightly"})
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "schedule_name_taken"))
    second = made(api.acme, name="weekly")
    answer = change(api, second, {"name": "nightly"})
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "schedule_name_taken"))
    assert made(api.other, name="nightly")["name"] == "nightly"
    assert rows(api, "schedules") == 2


def test_the_list_is_newest_first_page_by_page_and_by_state_or_name(api: Api) -> None:
    ids = [made(api.acme, name=f"n{number}")["id"] for number in range(5)]
    ask(api.acme, "POST", f"/{ids[1]}/pause")
    seen: list[str] = []
    cursor = ""
    while True:
        page = ask(api.acme, "GET", f"?limit=2{cursor}").json()
        assert len(page["data"]) <= 2
        seen += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]

    def found(query: str) -> list[str]:
        return [one["id"] for one in ask(api.acme, "GET", query).json()["data"]]

    assert found("?state=paused") == [ids[1]]
    assert found("?state=active") == [one for one in seen if one != ids[1]]
    assert found("?state=ended") == []
    assert found("?name=n3") == [ids[3]]
    assert found("?name=n") == []
    assert found("?name=n3%00") == []


def test_a_schedule_for_once_has_ended_when_it_has_fired(api: Api) -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    schedule = made(api.acme, cron=None, at=at.isoformat())
    assert datetime.fromisoformat(schedule["next_fire_at"]) == at
    with api.database.platform() as tx:  # as if that hour had passed
        tx.sql("UPDATE schedules SET next_at = NULL, due_at = NULL, runs = 1 WHERE id = %(id)s", id=schedule["id"])
    now = shown(api.acme, schedule)
    assert (now["state"], now["next_fire_at"], now["runs"]) == ("ended", None, 1)
    assert [one["id"] for one in ask(api.acme, "GET", "?state=ended").json()["data"]] == [schedule["id"]]


def test_a_change_names_the_version_that_it_is_of(api: Api) -> None:
    schedule = made(api.acme)
    missing = change(api, schedule, {"name": "a"}, None)
    problem = assert_problem(missing.status_code, missing.headers, missing.json(), (428, "precondition_required"))
    assert "ETag" in problem.detail
    done = change(api, schedule, {"name": "a"}, '"1"')
    assert (done.status_code, done.headers["etag"], done.json()["version"]) == (200, '"2"', 2)
    for stale in ('"1"', 'W/"2"', "2", '"3"', ""):
        late = change(api, schedule, {"name": "b"}, stale)
        problem = assert_problem(late.status_code, late.headers, late.json(), (412, "precondition_failed"))
        assert '"2"' in problem.detail
    assert change(api, schedule, {"name": "c"}, '"1", "2"').status_code == 200
    assert change(api, schedule, {"name": "d"}, "*").json()["version"] == 4
    assert shown(api.acme, schedule)["name"] == "d"


def test_of_two_changes_of_one_version_at_once_exactly_one_wins(api: Api) -> None:
    schedule = made(api.acme)

    async def both() -> list[httpx2.Response]:
        headers = {"Authorization": f"Bearer {api.acme.key}", "If-Match": '"1"'}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=30, verify=False) as client:
            path = f"/v1/schedules/{schedule['id']}"
            return await asyncio.gather(*(client.patch(path, json={"name": name}) for name in "abcdefgh"))

    answers = asyncio.run(both())
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert shown(api.acme, schedule) == won
    assert won["version"] == 2


def test_a_change_is_a_merge_patch(api: Api) -> None:
    schedule = made(api.acme, name="n", exclude=["2026-12-24"], overlap="allow")
    patch = {"exclude": ["2026-12-25"], "overlap": None, "job": {"priority": "low"}}
    done = changed(api, schedule, patch)
    assert (done["exclude"], done["overlap"], done["name"]) == (["2026-12-25"], "skip", "n")
    assert done["job"] == {**ECHO, "priority": "low"}
    assert changed(api, schedule, {"name": None})["name"] is None
    assert changed(api, schedule, {})["cron"] == "0 3 * * *"


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json; charset=utf-8"])
def test_a_change_comes_as_json_of_either_name(api: Api, content_type: str) -> None:
    schedule = made(api.acme)
    headers = {"If-Match": "*", "Content-Type": content_type}
    answer = ask(api.acme, "PATCH", f"/{schedule['id']}", headers, content=b'{"name": "n"}')
    assert (answer.status_code, answer.json()["name"]) == (200, "n")


def test_a_change_of_another_content_type_is_told_the_right_ones(api: Api) -> None:
    schedule = made(api.acme)
    headers = {"If-Match": "*", "Content-Type": "application/json-patch+json"}
    answer = ask(api.acme, "PATCH", f"/{schedule['id']}", headers, content=b"[]")
    assert_problem(answer.status_code, answer.headers, answer.json(), (415, "content_type_unsupported"))
    assert "application/merge-patch+json" in answer.headers["accept-patch"]


def test_another_rule_takes_the_place_of_the_one_that_was_there(api: Api) -> None:
    schedule = every(api.acme, 60, anchor="2026-01-01T00:00:00Z")
    assert changed(api, schedule, {"every": 120})["anchor"] == "2026-01-01T00:00:00Z"
    nightly = changed(api, schedule, {"cron": "0 4 * * *"})
    assert (nightly["cron"], nightly["every"], nightly["anchor"]) == ("0 4 * * *", None, None)
    once = changed(api, schedule, {"at": "2099-01-01T01:00:00"})
    assert (once["at"], once["cron"], once["next_fire_at"]) == (
        "2099-01-01T00:00:00Z",
        None,
        "2099-01-01T00:00:00Z",
    )
    again = changed(api, schedule, {"every": 60, "at": None})
    assert (again["every"], again["at"], again["anchor"] is not None) == (60, None, True)
    both = change(api, schedule, {"every": 60, "cron": "0 4 * * *"})
    assert_problem(both.status_code, both.headers, both.json(), (422, "invalid_schedule"), [""])


def test_a_change_that_is_refused_changes_nothing(api: Api) -> None:
    schedule = made(api.acme)
    for patch, pointers in (
        ({"cron": "61 * * * *"}, ["/cron"]),
        ({"job": None}, ["/job"]),
        ({"job": {"steps": {"say": {"kind": "ecko"}}}}, ["/job/steps/say/kind"]),
        ({"state": "paused", "name": " x"}, ["/state", "/name"]),
        ({"colour": "red"}, ["/colour"]),
        ({"end_att": None}, ["/end_att"]),
        ([], [""]),
        ("cron", [""]),
    ):
        answer = change(api, schedule, patch)
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), pointers)
    assert shown(api.acme, schedule) == schedule


def test_what_a_schedule_would_grow_to_is_limited_as_a_new_one_is(api: Api) -> None:
    schedule = made(api.acme)
    half = {"job": {"steps": {"say": {"data": "x" * 600_000}}}}
    assert change(api, schedule, half).status_code == 200
    other = {"job": {"steps": {"t": {"kind": "echo", "data": "x" * 600_000}}}}
    answer = change(api, schedule, other)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), [""])
    assert "larger than" in problem.errors[0].detail


def test_a_paused_schedule_does_not_fire_and_twice_is_as_once(api: Api) -> None:
    schedule = every(api.acme)
    first = ask(api.acme, "POST", f"/{schedule['id']}/pause", json={"reason": "the shop is closed"})
    paused = first.json()
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    assert (paused["state"], paused["paused_reason"], paused["next_fire_at"]) == (
        "paused",
        "the shop is closed",
        None,
    )
    assert paused["paused_at"] is not None
    assert ask(api.acme, "POST", f"/{schedule['id']}/pause", json={"reason": "another"}).json() == paused
    with api.database.platform() as tx:
        tx.sql("UPDATE schedules SET next_at = next_at - interval '2 min' WHERE id = %(id)s", id=schedule["id"])
    resumed = ask(api.acme, "POST", f"/{schedule['id']}/resume")
    now = resumed.json()
    assert (resumed.status_code, now["state"], now["paused_at"], now["paused_reason"]) == (200, "active", None, None)
    assert datetime.fromisoformat(now["next_fire_at"]) > datetime.now(UTC) - timedelta(seconds=5)
    assert ask(api.acme, "POST", f"/{schedule['id']}/resume").json() == now
    (skipped,) = runs(api.acme, schedule)
    assert (skipped["outcome"], skipped["until_at"] is not None) == ("skipped", True)
    assert "the shop is closed" in skipped["reason"]


def test_a_deleted_schedule_is_gone_and_its_jobs_go_on(api: Api) -> None:
    schedule = made(api.acme, cron="0 0 1 1 *")
    fire(api, schedule)
    (run,) = runs(api.acme, schedule)
    stale = ask(api.acme, "DELETE", f"/{schedule['id']}", {"If-Match": '"7"'})
    assert_problem(stale.status_code, stale.headers, stale.json(), (412, "precondition_failed"))
    gone = ask(api.acme, "DELETE", f"/{schedule['id']}", {"If-Match": '"1"'})
    assert (gone.status_code, gone.content) == (204, b"")
    assert ask(api.acme, "GET", f"/{schedule['id']}").status_code == 404
    assert ask(api.acme, "DELETE", f"/{schedule['id']}").status_code == 404
    job = api.acme.get(f"/v1/jobs/{run['job']['id']}").json()
    assert (job["state"], job["schedule"]["id"]) == ("queued", schedule["id"])
    assert (rows(api, "schedules"), rows(api, "firings")) == (0, 0)


def test_a_schedule_that_the_operator_applies_is_shown_without_the_operators_own_fields(api: Api) -> None:
    with api.database.begin(api.acme.tenant) as tx:
        now = schedules.clock(tx)
        spec = parse({**NIGHTLY, "sentry_monitor": "nightly"}, now=now, operator=True)
        schedule = {"id": scheduling.create(tx, spec, now, source="file").id}
    document = shown(api.acme, schedule)
    assert (document["source"], "sentry_monitor" in document) == ("file", False)
    assert ask(api.acme, "GET", "").json()["data"] == [document]
    assert changed(api, schedule, {"timezone": "Asia/Kolkata"})["timezone"] == "Asia/Kolkata"
    renamed = change(api, schedule, {"name": "mine"})
    assert_problem(renamed.status_code, renamed.headers, renamed.json(), (422, "invalid_schedule"), ["/name"])
    with api.database.read(api.acme.tenant) as tx:
        kept = schedules.find(tx, ScheduleId(schedule["id"]))
    assert kept is not None
    assert kept.document["sentry_monitor"] == "nightly"
    for value in (None, "other"):
        answer = change(api, schedule, {"sentry_monitor": value})
        assert_problem(
            answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), ["/sentry_monitor"]
        )
