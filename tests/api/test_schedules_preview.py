"""`POST /v1/schedules/preview`: when a schedule would fire."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.schedule_schemas import ScheduleDocument
from storage.schedule_model import CatchUp, Outcome, Overlap
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.timetable import ask, rows


def preview(api: Api, **fields: Any) -> Any:
    answer = ask(api.acme, "POST", "/preview", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_preview_tells_the_next_firings_in_both_clocks(api: Api) -> None:
    told = preview(api, cron="30 2 * * *", timezone="Europe/Berlin", after="2026-03-28T00:00:00", count=3)
    assert told["timezone"] == "Europe/Berlin"
    assert "02:30" in told["words"]
    assert told["fire_times"] == [
        {"at": "2026-03-28T01:30:00Z", "local": "2026-03-28T02:30:00+01:00"},
        {"at": "2026-03-29T01:00:00Z", "local": "2026-03-29T03:00:00+02:00"},  # 02:30 does not exist
        {"at": "2026-03-30T00:30:00Z", "local": "2026-03-30T02:30:00+02:00"},
    ]
    assert rows(api, "schedules") == 0


def test_a_preview_tells_five_firings_from_now_on_and_no_more_than_there_are(api: Api) -> None:
    now = datetime.now(UTC)
    hourly = preview(api, cron="@hourly")["fire_times"]
    assert len(hourly) == 5
    assert timedelta(0) < datetime.fromisoformat(hourly[0]["at"]) - now <= timedelta(hours=1, seconds=5)
    once = preview(api, at="2099-01-01T12:00:00", timezone="Asia/Tokyo", count=100)
    assert once["fire_times"] == [{"at": "2099-01-01T03:00:00Z", "local": "2099-01-01T12:00:00+09:00"}]
    bounded = preview(api, every=60, start_at="2099-01-01T00:00:00Z", end_at="2099-01-01T00:02:00Z")
    assert 2 <= len(bounded["fire_times"]) <= 3
    assert len(preview(api, every=1, count=100)["fire_times"]) == 100
    without = preview(api, cron="0 0 * * *", after="2026-12-23T12:00:00Z", exclude=["2026-12-24"], count=1)
    assert without["fire_times"][0]["at"] == "2026-12-25T00:00:00Z"


def test_a_whole_schedule_can_be_previewed_before_it_is_made(api: Api) -> None:
    whole = {"cron": "0 3 * * *", "name": "n", "overlap": "allow", "job": {"steps": {"say": {"kind": "echo"}}}}
    assert len(preview(api, **whole, count=1)["fire_times"]) == 1
    answer = ask(api.acme, "POST", "/preview", json={**whole, "job": {"steps": {"say": {"kind": "ecko"}}}})
    assert_problem(
        answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), ["/job/steps/say/kind"]
    )


PREVIEWS: list[tuple[Any, list[str]]] = [
    ({}, [""]),
    ([], [""]),
    ("0 3 * * *", [""]),
    ({"cron": "0 3 * * *", "count": 0}, ["/count"]),
    ({"cron": "0 3 * * *", "count": 101}, ["/count"]),
    ({"cron": "0 3 * * *", "count": "5"}, ["/count"]),
    ({"cron": "0 3 * * *", "count": 1.5, "after": 7}, ["/count", "/after"]),
    ({"cron": "0 3 * * *", "after": "soon"}, ["/after"]),
    ({"cron": "0 3 * *", "after": "soon"}, ["/cron"]),
    ({"cron": "0 3 * *", "count": 0}, ["/cron", "/count"]),
    ({"cron": "0 0 30 2 *"}, ["/cron"]),
    ({"at": "2020-01-01T00:00:00Z"}, ["/at"]),
    ({"every": 60, "timezone": "Mars/Olympus"}, ["/timezone"]),
    ({"every": 60, "counts": 1}, ["/counts"]),
    ({"every": 60, "state": "paused"}, ["/state"]),
]


@pytest.mark.parametrize(("body", "pointers"), PREVIEWS)
def test_a_preview_is_refused_as_the_making_would_be(api: Api, body: Any, pointers: list[str]) -> None:
    answer = ask(api.acme, "POST", "/preview", json=body)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), pointers)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
@pytest.mark.parametrize("after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:58Z", "9999-12-31T12:00:00"])
@pytest.mark.parametrize("rule", [{"cron": "* * * * * *"}, {"every": 1}])
def test_a_preview_at_an_end_of_the_calendar_is_an_answer(api: Api, rule: Any, after: str, zone: str) -> None:
    answer = ask(api.acme, "POST", "/preview", json={**rule, "after": after, "timezone": zone, "count": 100})
    assert answer.status_code in {200, 422}, answer.text


def test_the_examples_of_the_page_are_as_the_api_answers(api: Api) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "schedules.md").read_text(encoding="utf-8")
    bodies = [json.loads(found) for found in re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)]
    nightly, asked, *_, span, _ = bodies
    answer = ask(api.acme, "POST", "", json=nightly)
    assert answer.status_code == 201, answer.text
    assert preview(api, **asked) == json.loads(page.split("```json\n")[1].split("```")[0])
    assert ask(api.acme, "POST", f"/{answer.json()['id']}/backfill", json=span).json()["nominal_times"] == 31
    told = {*re.findall(r"`([a-z_]+)`", page)}
    assert set(ScheduleDocument.model_fields) <= told
    assert {one.value for enum in (Overlap, CatchUp, Outcome) for one in enum} <= told
