"""What became of firings, and firings that are asked for: triggers and backfills."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from scheduler.fire import turn
from storage.schedule_model import Outcome
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.timetable import ask, every, fire, made, rows, runs, shown

LONG_AGO = {"anchor": "2026-01-01T00:00:00Z"}
DAY = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T23:59:59Z"}


def trigger(api: Api, schedule: Any, body: Any = None, **headers: str) -> httpx2.Response:
    how = {} if body is None else {"json": body}
    return ask(
        api.acme, "POST", f"/{schedule['id']}/trigger", {n.replace("_", "-"): v for n, v in headers.items()}, **how
    )


def backfill(api: Api, schedule: Any, body: Any, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(api.acme, "POST", f"/{schedule['id']}/backfill", named, json=body)


def test_a_firing_is_a_run_and_its_job_says_where_it_comes_from(api: Api) -> None:
    schedule = made(api.acme, cron="0 0 1 1 *")
    fire(api, schedule)
    (run,) = runs(api.acme, schedule)
    assert (run["origin"], run["outcome"], run["reason"], run["until_at"]) == ("schedule", "started", None, None)
    assert 0.5 <= run["late_seconds"] < 10
    job = api.acme.get(run["job"]["href"]).json()
    assert run["job"] == {"id": job["id"], "state": "queued", "href": f"/v1/jobs/{job['id']}"}
    assert job["schedule"] == {"id": schedule["id"], "fire_time": run["nominal_at"]}
    (listed,) = api.acme.get("/v1/jobs").json()["data"]
    assert listed["schedule"] == job["schedule"]
    assert shown(api.acme, schedule)["runs"] == 1
    assert shown(api.acme, schedule)["version"] == 1


def test_a_job_of_no_schedule_says_so(api: Api) -> None:
    assert api.acme.post(json={"steps": {"say": {"kind": "echo"}}}).json()["schedule"] is None


def test_runs_are_told_page_by_page_and_by_outcome(api: Api) -> None:
    schedule = every(api.acme, 3600, **LONG_AGO)
    backfill(api, schedule, {**DAY, "overlap": "allow"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = ask(api.acme, "GET", f"/{schedule['id']}/runs?limit=10{cursor}").json()
        seen += [run["nominal_at"] for run in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"2026-01-02T{hour:02}:00:00Z" for hour in range(23, -1, -1)]
    assert len(runs(api.acme, schedule, "?outcome=buffered&limit=100")) == 24
    assert runs(api.acme, schedule, "?outcome=started") == []
    turn(api.database)
    assert {run["job"]["state"] for run in runs(api.acme, schedule, "?outcome=started&limit=100")} == {"queued"}


@pytest.mark.parametrize(
    "query", ["cursor=", "cursor=x", "cursor=1.5", "cursor=%00", "cursor=" + "9" * 18, "cursor=+1"]
)
def test_a_cursor_that_no_page_gave_is_refused(api: Api, query: str) -> None:
    answer = ask(api.acme, "GET", f"/{made(api.acme)['id']}/runs?{query}")
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "cursor_invalid"))


@pytest.mark.parametrize("cursor", ["0", "-1", "9" * 17, "-" + "9" * 17])
def test_a_cursor_from_before_or_after_all_times_is_one(api: Api, cursor: str) -> None:
    assert runs(api.acme, made(api.acme), f"?cursor={cursor}") == []


def test_a_run_whose_job_was_deleted_still_names_it(api: Api) -> None:
    schedule = made(api.acme)
    job = trigger(api, schedule).json()["job"]["id"]
    api.acme.ask("POST", f"/v1/jobs/{job}/cancel")
    assert api.acme.ask("DELETE", f"/v1/jobs/{job}").status_code == 204
    assert runs(api.acme, schedule)[0]["job"] == {"id": job, "state": None, "href": None}


def test_every_outcome_can_be_asked_for(api: Api) -> None:
    schedule = made(api.acme)
    for outcome in Outcome:
        assert runs(api.acme, schedule, f"?outcome={outcome}") == []
    answer = ask(api.acme, "GET", f"/{schedule['id']}/runs?outcome=done")
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_parameter"), ["/query/outcome"])


@pytest.mark.parametrize("paused", [False, True])
def test_a_trigger_starts_a_job_at_once(api: Api, paused: bool) -> None:
    schedule = made(api.acme)
    if paused:
        ask(api.acme, "POST", f"/{schedule['id']}/pause")
    before = shown(api.acme, schedule)
    answer = trigger(api, schedule)
    run = answer.json()
    assert (answer.status_code, run["origin"], run["outcome"], run["late_seconds"]) == (202, "trigger", "started", None)
    assert answer.headers["location"] == run["job"]["href"] == f"/v1/jobs/{run['job']['id']}"
    assert api.acme.get(run["job"]["href"]).json()["schedule"]["fire_time"] == run["nominal_at"]
    assert runs(api.acme, schedule) == [run]
    assert shown(api.acme, schedule) == before


def test_a_trigger_beside_a_running_job_does_as_the_rule_says(api: Api) -> None:
    schedule = made(api.acme)
    first = trigger(api, schedule).json()
    skipped = trigger(api, schedule)
    assert (skipped.status_code, skipped.json()["outcome"], skipped.json()["job"]) == (202, "skipped", None)
    assert "location" not in skipped.headers
    assert "overlap is 'skip'" in skipped.json()["reason"]
    waits = trigger(api, schedule, {"overlap": "buffer_one"}).json()
    assert (waits["outcome"], waits["job"]) == ("buffered", None)
    beside = trigger(api, schedule, {"overlap": "allow"}).json()
    assert beside["outcome"] == "started"
    assert beside["job"]["id"] != first["job"]["id"]
    assert trigger(api, schedule, {"overlap": None}).json()["outcome"] == "skipped"


def test_of_two_triggers_at_once_one_starts_and_one_is_skipped(api: Api) -> None:
    schedule = made(api.acme)

    async def all_at_once() -> list[httpx2.Response]:
        headers = {"Authorization": f"Bearer {api.acme.key}"}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=30, verify=False) as client:
            path = f"/v1/schedules/{schedule['id']}/trigger"
            return await asyncio.gather(*(client.post(path) for _ in range(6)))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(answer.json()["outcome"] for answer in answers) == ["skipped"] * 5 + ["started"]
    assert rows(api, "jobs") == 1


def test_a_trigger_that_is_sent_again_with_its_key_is_one(api: Api) -> None:
    schedule = made(api.acme, overlap="allow")
    first, again = (trigger(api, schedule, Idempotency_Key="mine") for _ in range(2))
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    other = trigger(api, schedule, {"overlap": "skip"}, Idempotency_Key="mine")
    assert_problem(other.status_code, other.headers, other.json(), (422, "idempotency_mismatch"))
    assert trigger(api, schedule).json()["job"] != first.json()["job"]
    assert rows(api, "jobs") == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"overlap": "sometimes"}, "/overlap"),
        ({"overlap": 1}, "/overlap"),
        ({"overlaps": "skip"}, "/overlaps"),
        ([], ""),
    ],
)
def test_a_trigger_that_cannot_be_understood_is_refused(api: Api, body: Any, pointer: str) -> None:
    schedule = made(api.acme)
    answer = trigger(api, schedule, body)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), [pointer])
    assert runs(api.acme, schedule) == []


def test_a_backfill_fires_what_has_no_job_and_nothing_twice(api: Api) -> None:
    schedule = every(api.acme, 3600, **LONG_AGO)
    first = backfill(api, schedule, {"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T02:00:00Z"})
    assert (first.status_code, first.json()) == (202, {"accepted": 3, "nominal_times": 3})
    assert backfill(api, schedule, DAY).json() == {"accepted": 21, "nominal_times": 24}
    assert backfill(api, schedule, DAY).json() == {"accepted": 0, "nominal_times": 24}
    turn(api.database)
    started = runs(api.acme, schedule, "?outcome=started")
    assert [run["nominal_at"] for run in started] == ["2026-01-02T00:00:00Z"]  # the oldest; the others wait for its end
    assert started[0]["origin"] == "backfill"
    assert shown(api.acme, schedule)["runs"] == 0


def test_a_backfill_reads_times_without_an_offset_in_the_schedules_zone(api: Api) -> None:
    schedule = made(api.acme)
    done = backfill(api, schedule, {"from": "2026-07-01T03:00:00", "to": "2026-07-01T03:00:00"})
    assert done.json() == {"accepted": 1, "nominal_times": 1}
    assert runs(api.acme, schedule)[0]["nominal_at"] == "2026-07-01T01:00:00Z"


def test_a_backfill_that_is_too_large_says_how_far_it_could_go(api: Api) -> None:
    schedule = every(api.acme, 60, **LONG_AGO)
    answer = backfill(api, schedule, {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"})
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "backfill_too_large"), ["/to"])
    assert "2026-01-01T16:39:00Z" in problem.detail
    assert rows(api, "firings") == 0
    fits = backfill(api, schedule, {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T16:39:00Z"})
    assert fits.json() == {"accepted": 1000, "nominal_times": 1000}


def test_a_backfill_that_is_sent_again_with_its_key_answers_the_same(api: Api) -> None:
    schedule = every(api.acme, 3600, **LONG_AGO)
    first, again = (backfill(api, schedule, DAY, Idempotency_Key="mine") for _ in range(2))
    assert (again.status_code, again.json()) == (202, first.json())
    other = backfill(api, schedule, {**DAY, "overlap": "allow"}, Idempotency_Key="mine")
    assert_problem(other.status_code, other.headers, other.json(), (422, "idempotency_mismatch"))


TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
BACKFILLS: list[tuple[Any, list[str]]] = [
    ({}, ["/from", "/to"]),
    ({"from": "2026-01-01T00:00:00Z"}, ["/to"]),
    ({**DAY, "to": TOMORROW}, ["/to"]),
    ({**DAY, "to": "9999-12-31T23:59:59Z"}, ["/to"]),
    ({"from": DAY["to"], "to": DAY["from"]}, ["/to"]),
    ({"from": "yesterday", "to": 5}, ["/to"]),
    ({"from": "yesterday", "to": "today"}, ["/from", "/to"]),
    ({**DAY, "from": "2026-02-30T00:00:00Z"}, ["/from"]),
    ({**DAY, "from": "2026-01-01T25:00:00Z"}, ["/from"]),
    ({**DAY, "from": ""}, ["/from"]),
    ({**DAY, "from": "x" * 65}, ["/from"]),
    ({**DAY, "from": None}, ["/from"]),
    ({**DAY, "overlap": "skip"}, ["/overlap"]),
    ({**DAY, "form": 1}, ["/form"]),
    ({**DAY, "first": 1}, ["/first"]),
    ([], [""]),
]


@pytest.mark.parametrize(("body", "pointers"), BACKFILLS)
def test_a_backfill_that_cannot_be_understood_is_refused(api: Api, body: Any, pointers: list[str]) -> None:
    schedule = every(api.acme, 3600, **LONG_AGO)
    answer = backfill(api, schedule, body)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert rows(api, "firings") == 0


@pytest.mark.parametrize("first", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("rule", [{"cron": "0 3 * * *"}, {"cron": None, "every": 60, "anchor": "0001-01-01T00:00:00Z"}])
def test_a_backfill_from_the_calendars_begin_is_an_answer(api: Api, rule: Any, first: str) -> None:
    schedule = made(api.acme, **rule)
    answer = backfill(api, schedule, {"from": first, "to": "2026-01-01T00:00:00Z"})
    assert answer.status_code == 422
    assert answer.json()["code"] in {"backfill_too_large", "invalid_request"}
