"""Whatever is asked for as a schedule, the answer is a schedule or a clear refusal that points at the place."""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings
from tests.api.timetable import NIGHTLY, ask, made, rows, shown

CRONS: list[Any] = [
    "",
    " ",
    "*",
    "* * * *",
    "* * * * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 13 *",
    "* * * * 8",
    "*/0 * * * *",
    "*/-1 * * * *",
    "1-0 * * * *",
    "-1 * * * *",
    "1,,2 * * * *",
    "1.5 * * * *",
    "0 0 30 2 *",
    "0 0 31 4,6,9,11 *",
    "0 0 * FEBRUARY *",
    "0 0 * * MOONDAY",
    "0 0 * * 1#6",
    "0 0 L-99 * *",
    "@reboot",
    "@every 5m",
    "@fortnightly",
    "every day",
    "0 3 * * * ; rm -rf /",
    "0 3 * * *\n0 4 * * *",
    "\u0660 3 * * *",
    "\uff10 3 * * *",
    "0 3 * * \u200b*",
    "(((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)",
    "*" * 256,
    "*/" * 128,
    "1," * 100 + "1 * * * *",
    "9" * 300,
    "99999999999999999999 * * * *",
    "x" * 100_000,
    "0 3 * * *" + " " * 1000,
    "{{schedule.fire_time}} * * * *",
]


@pytest.mark.parametrize("cron", CRONS, ids=range(len(CRONS)))
def test_a_hostile_expression_is_a_clear_422(api: Api, cron: Any) -> None:
    for path, body in (("", {**NIGHTLY, "cron": cron}), ("/preview", {"cron": cron})):
        answer = ask(api.acme, "POST", path, json=body)
        problem = assert_problem(
            answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), ["/cron"]
        )
        assert 10 < len(problem.errors[0].detail) < 400
    schedule = made(api.acme)
    answer = ask(api.acme, "PATCH", f"/{schedule['id']}", {"If-Match": "*"}, json={"cron": cron})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), ["/cron"])
    assert rows(api, "schedules") == 1


EVERY = {"cron": None, "every": 60}

DOCUMENTS: list[tuple[Any, list[str]]] = [
    ({"name": "sch_nightly"}, ["/name"]),
    (
        {"corn": "x", "cron": "61 * * * *", "timezone": "Europe/Berln", "job": {"steps": {"a": {"kind": "ecoh"}}}},
        ["/corn", "/cron", "/timezone", "/job/steps/a/kind"],
    ),
    ({"cron": None}, [""]),
    ({"every": 60}, [""]),
    ({"every": 60, "at": "2099-01-01T00:00:00Z"}, [""]),
    ({"cron": 5}, ["/cron"]),
    ({"cron": ["0 3 * * *"]}, ["/cron"]),
    ({"cron": {}}, ["/cron"]),
    ({"cron": True}, ["/cron"]),
    ({**EVERY, "every": 0}, ["/every"]),
    ({**EVERY, "every": -60}, ["/every"]),
    ({**EVERY, "every": 1.5}, ["/every"]),
    ({**EVERY, "every": "60"}, ["/every"]),
    ({**EVERY, "every": True}, ["/every"]),
    ({**EVERY, "every": 2**62}, ["/every"]),
    ({**EVERY, "anchor": "noon"}, ["/anchor"]),
    ({**EVERY, "anchor": ""}, ["/anchor"]),
    ({"anchor": "2026-01-01T00:00:00Z"}, ["/anchor"]),
    ({"cron": None, "at": "soon"}, ["/at"]),
    ({"cron": None, "at": "2020-01-01T00:00:00Z"}, ["/at"]),
    ({"cron": None, "at": "2099-02-29T00:00:00Z"}, ["/at"]),
    ({"cron": None, "at": "2099-01-01"}, ["/at"]),
    ({"cron": None, "at": "2099-01-01T00:00:00+24:00"}, ["/at"]),
    ({"cron": None, "at": "0000-01-01T00:00:00Z"}, ["/at"]),
    ({"cron": None, "at": "9999-12-31T23:59:59-12:00"}, ["/at"]),
    ({"cron": None, "at": "\u0662\u0660\u0662\u0666-01-01T00:00:00Z"}, ["/at"]),
    ({"cron": None, "at": 4_102_444_800}, ["/at"]),
    ({"timezone": "Europe/Berln"}, ["/timezone"]),
    ({"timezone": "CEST"}, ["/timezone"]),
    ({"timezone": "+02:00"}, ["/timezone"]),
    ({"timezone": ""}, ["/timezone"]),
    ({"timezone": "../../etc/passwd"}, ["/timezone"]),
    ({"timezone": "/etc/localtime"}, ["/timezone"]),
    ({"timezone": "Europe"}, ["/timezone"]),
    ({"timezone": "x" * 10_000}, ["/timezone"]),
    ({"timezone": 1}, ["/timezone"]),
    ({"timezone": None}, ["/timezone"]),
    ({"start_at": "2099-01-02T00:00:00Z", "end_at": "2099-01-01T00:00:00Z"}, ["/end_at"]),
    ({"end_at": "2020-01-01T00:00:00Z"}, ["/cron"]),
    ({"start_at": "x", "end_at": "y"}, ["/start_at", "/end_at"]),
    ({"exclude": "2026-12-24"}, ["/exclude"]),
    ({"exclude": ["24.12.2026"]}, ["/exclude/0"]),
    ({"exclude": ["2026-12-24", "2026-02-30"]}, ["/exclude/1"]),
    ({"exclude": ["2026-12-24"] * 1001}, ["/exclude"]),
    ({"jitter_seconds": -1}, ["/jitter_seconds"]),
    ({"jitter_seconds": 86_401}, ["/jitter_seconds"]),
    ({"jitter_seconds": "5"}, ["/jitter_seconds"]),
    ({**EVERY, "jitter_seconds": 61}, ["/jitter_seconds"]),
    ({"overlap": "sometimes"}, ["/overlap"]),
    ({"overlap": None}, ["/overlap"]),
    ({"catch_up": "some", "catch_up_seconds": -1}, ["/catch_up", "/catch_up_seconds"]),
    ({"max_runs": 0}, ["/max_runs"]),
    ({"max_runs": 2**31}, ["/max_runs"]),
    ({"pause_on_failure": "yes"}, ["/pause_on_failure"]),
    ({"name": ""}, ["/name"]),
    ({"name": "x" * 101}, ["/name"]),
    ({"name": " x"}, ["/name"]),
    ({"name": "a\nb"}, ["/name"]),
    ({"name": "\u202enightly"}, ["/name"]),
    ({"colour": "red"}, ["/colour"]),
    ({"Cron": "x"}, ["/Cron"]),
    ({"job": None}, ["/job"]),
    ({"job": {}}, ["/job"]),
    ({"job": []}, ["/job"]),
    ({"job": {"template": "thumbnails"}}, ["/job"]),
    ({"job": {"template": "thumbs"}}, ["/job/template"]),
    ({"job": {"steps": {"say": {"kind": "echo", "mesage": 1}}}}, ["/job/steps/say/mesage"]),
    ({"job": {"steps": {"say": {"kind": "echo", "message": "{{schedule.fire_tme}}"}}}}, ["/job/steps/say/message"]),
    ({"job": {"steps": {"keep": {"kind": "platform.retention"}}}}, ["/job/steps/keep/kind"]),
    ({"id": "sch_x", "state": "paused"}, ["/id", "/state"]),
    ({"next_fire_at": None, "links": {}, "cron": "x"}, ["/next_fire_at", "/links", "/cron"]),
]


@pytest.mark.parametrize(("fields", "pointers"), DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_flawed_document_is_pointed_at(api: Api, fields: Any, pointers: list[str]) -> None:
    answer = ask(api.acme, "POST", "", json={**NIGHTLY, **fields})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_schedule"), pointers)
    assert rows(api, "schedules") == 0


BODIES: dict[str, tuple[Any, str, list[str]]] = {
    "none": (b"", "invalid_schedule", ["/job"]),
    "an array": (b"[]", "invalid_schedule", [""]),
    "a string": (b'"0 3 * * *"', "invalid_schedule", [""]),
    "null": (b"null", "invalid_schedule", [""]),
    "no JSON": (b"cron: 0 3 * * *", "invalid_request", [""]),
    "not UTF-8": (b'{"cron": "\xff"}', "invalid_request", [""]),
    "NaN": (b'{"jitter_seconds": NaN}', "invalid_request", [""]),
    "a number beyond all": (b'{"jitter_seconds": 1e999}', "invalid_request", ["/jitter_seconds"]),
    "an integer beyond all": (b'{"every": 9999999999999999999999}', "invalid_request", ["/every"]),
    "NUL": (b'{"name": "a\\u0000b"}', "invalid_request", ["/name"]),
    "half a surrogate pair": (b'{"cron": "\\ud800"}', "invalid_request", [""]),
    "too deep": (b'{"job": ' + b"[" * 40 + b"]" * 40 + b"}", "invalid_request", ["/job" + "/0" * 31]),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_document_is_refused(api: Api, what: str) -> None:
    raw, code, pointers = BODIES[what]
    answer = ask(api.acme, "POST", "", content=raw)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, code), pointers)
    assert rows(api, "schedules") == 0


def test_more_flaws_than_anybody_reads_are_cut_off(api: Api) -> None:
    answer = ask(api.acme, "POST", "", json={**NIGHTLY, **{f"x{number}": 1 for number in range(500)}})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 20)


def test_bodies_are_limited_on_every_route(api: Api) -> None:
    schedule = made(api.acme)
    at = f"/{schedule['id']}"
    large = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    routes = [("POST", ""), ("POST", "/preview"), ("PATCH", at)]
    routes += [("POST", f"{at}{route}") for route in ("/pause", "/trigger", "/backfill")]
    for method, path in routes:
        answer = ask(api.acme, method, path, {"If-Match": "*"}, content=large)
        assert_problem(answer.status_code, answer.headers, answer.json(), (413, "too_large"))
    assert shown(api.acme, schedule) == schedule


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"reason": "x" * 201}, "/reason"),
        ({"reason": ""}, "/reason"),
        ({"reason": 5}, "/reason"),
        ({"why": "x"}, "/why"),
    ],
)
def test_a_pause_for_no_reason_that_can_be_kept_is_refused(api: Api, body: Any, pointer: str) -> None:
    schedule = made(api.acme)
    answer = ask(api.acme, "POST", f"/{schedule['id']}/pause", json=body)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), [pointer])
    assert shown(api.acme, schedule) == schedule


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "state=done", "name=" + "x" * 101])
def test_a_wrong_parameter_of_the_list_is_named(api: Api, query: str) -> None:
    answer = ask(api.acme, "GET", f"?{query}")
    pointer = f"/query/{query.partition('=')[0]}"
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_parameter"), [pointer])


@pytest.mark.parametrize("cursor", ["", "x", "sch_%00", "job_01m81xfwczevz8kg5rcf2w0d65"])
def test_a_cursor_that_no_page_gave_is_refused(api: Api, cursor: str) -> None:
    answer = ask(api.acme, "GET", f"?cursor={cursor}")
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "cursor_invalid"))


ENDS = ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59"]


@pytest.mark.parametrize("field", ["start_at", "end_at", "anchor", "at"])
@pytest.mark.parametrize("moment", ENDS)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
def test_an_end_of_the_calendar_is_an_answer(api: Api, field: str, moment: str, zone: str) -> None:
    rule = {"cron": None} if field == "at" else {"cron": None, "every": 60} if field == "anchor" else {}
    answer = ask(api.acme, "POST", "", json={**NIGHTLY, **rule, field: moment, "timezone": zone})
    assert answer.status_code in {201, 422}, answer.text
    assert ask(api.acme, "GET", "").status_code == 200


def test_a_database_that_does_not_answer_is_told(api: Api) -> None:
    with served(settings("postgresql://nobody@127.0.0.1:1/nothing")) as running:
        caller = api.acme.http
        answer = caller.get(f"{running.url}/v1/schedules", headers={"Authorization": f"Bearer {api.acme.key}"})
    assert_problem(answer.status_code, answer.headers, answer.json(), (503, "database_unavailable"))
