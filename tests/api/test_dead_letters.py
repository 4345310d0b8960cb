"""Steps that failed for good, by reason, and their replay: filters, canaries, tenants apart."""

from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from storage.model import Job, PublicError
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem
from tests.api.working import BOOM, fail, failed, shown, start, states, succeed, types
from tests.documents import CHAIN, ECHO, put_in, taken

CALL = {"steps": {"say": {"kind": "http.call", "url": "https://example.org/"}}}
GONE = PublicError(code="http_status", message="answered 404")
BUSY = PublicError(code="http_status", message="answered 503")


def letters(caller: Caller, **params: Any) -> list[dict[str, Any]]:
    answer = caller.get("/v1/dead-letters", params=params)
    assert answer.status_code == 200
    return list(answer.json()["data"])


def replay(api: Api, wish: Any = None) -> Any:
    answer = ask_replay(api, wish)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def ask_replay(api: Api, wish: Any = None) -> httpx2.Response:
    return api.acme.ask("POST", "/v1/dead-letters/replay", **({} if wish is None else {"json": wish}))


def queued(api: Api, jobs: list[Job]) -> list[int]:
    """Which of the jobs run again, by their place."""
    return [place for place, job in enumerate(jobs) if shown(api, job)["state"] == "queued"]


def test_they_are_grouped_by_kind_and_reason_the_largest_group_first(api: Api) -> None:
    busy = [failed(api, CALL, BUSY) for _ in range(3)]
    gone = [failed(api, CALL, GONE) for _ in range(2)]
    echo = failed(api, ECHO, GONE)
    found = letters(api.acme)
    assert [(one["kind"], one["code"], one["message"], one["count"]) for one in found] == [
        ("http.call", "http_status", "answered 503", 3),
        ("http.call", "http_status", "answered 404", 2),
        ("echo", "http_status", "answered 404", 1),
    ]
    assert [one["newest_job"] for one in found] == [busy[-1].id, gone[-1].id, echo.id]
    assert found[1]["fingerprint"] == found[2]["fingerprint"] == shown(api, echo)["error"]["fingerprint"]
    assert found[0]["newest"] == shown(api, busy[-1])["steps"]["say"]["finished_at"]
    assert found[0]["oldest"] == shown(api, busy[0])["steps"]["say"]["finished_at"]


def test_the_listing_can_be_narrowed(api: Api) -> None:
    for document, error in ((CALL, BUSY), (CALL, BUSY), (CALL, GONE), (ECHO, GONE)):
        failed(api, document, error)
    assert [one["count"] for one in letters(api.acme, kind="http.call")] == [2, 1]
    assert [one["kind"] for one in letters(api.acme, fingerprint=GONE.fingerprint)] == ["echo", "http.call"]
    assert len(letters(api.acme, kind="echo", fingerprint=GONE.fingerprint)) == 1
    assert letters(api.acme, kind="echo", fingerprint=BUSY.fingerprint) == []
    assert letters(api.acme, limit=1) == letters(api.acme)[:1]
    assert letters(api.acme, kind="\0") == []


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"kind": "x" * 201}, {"fingerprint": "x" * 65}])
def test_a_listing_that_makes_no_sense_is_refused(api: Api, params: dict[str, Any]) -> None:
    answer = api.acme.get("/v1/dead-letters", params=params)
    assert_problem(
        answer.status_code, answer.headers, answer.json(), (422, "invalid_parameter"), [f"/query/{min(params)}"]
    )


def test_what_was_only_canceled_or_succeeded_is_no_dead_letter(api: Api) -> None:
    failed(api, CHAIN)
    assert [one["count"] for one in letters(api.acme)] == [1]


def test_a_tenant_sees_and_replays_its_own_only(api: Api) -> None:
    ours = failed(api)
    theirs = put_in(api.database, api.other.tenant)
    fail(api, taken(api.database, api.other.tenant, theirs, "say"))
    assert [one["newest_job"] for one in letters(api.other)] == [theirs.id]
    assert replay(api) == {"matching": 1, "skipped": 0, "jobs": [ours.id]}
    assert [one["newest_job"] for one in letters(api.other)] == [theirs.id]
    assert letters(api.acme) == []


def test_a_replay_runs_the_failed_steps_only(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {"steps": {"good": {"kind": "echo"}, "bad": {"kind": "echo"}}})
    succeed(api, start(api, job, "good"))
    fail(api, start(api, job, "bad"))
    assert replay(api)["jobs"] == [job.id]
    assert states(api, job) == {"good": "succeeded", "bad": "queued"}
    assert types(api, job)[-1] == "job.queued"


def test_each_filter_narrows_what_is_replayed(api: Api) -> None:
    jobs = [failed(api, *made) for made in ((CALL, BUSY), (CALL, GONE), (ECHO, GONE), (ECHO, BOOM))]
    times = [datetime.fromisoformat(shown(api, job)["steps"]["say"]["finished_at"]) for job in jobs]
    late = (times[3] - timedelta(microseconds=1)).isoformat()
    for chosen, expected in (
        ({"kind": "http.call", "fingerprint": BUSY.fingerprint}, [0]),
        ({"failed_after": late}, [0, 3]),
        ({"failed_before": late, "code": "boom"}, [0, 3]),
        ({"code": "http_status", "kind": "echo"}, [0, 2, 3]),
        ({"kind": "no.such"}, [0, 2, 3]),
        ({}, [0, 1, 2, 3]),
    ):
        done = replay(api, {"filter": chosen})
        assert queued(api, jobs) == expected, chosen
        assert (done["matching"], done["skipped"]) == (len(done["jobs"]), 0)


def test_a_share_goes_first_as_a_canary_evenly_spread(api: Api) -> None:
    jobs = [failed(api) for _ in range(20)]
    assert replay(api, {"percent": 5}) == {"matching": 20, "skipped": 0, "jobs": [jobs[0].id]}
    assert replay(api, {"percent": 21})["matching"] == 19
    assert queued(api, jobs) == [0, 1, 5, 10, 15]
    assert replay(api, {"percent": 100, "limit": 3})["matching"] == 15
    assert len(queued(api, jobs)) == 8
    assert replay(api) | {"jobs": 0} == {"matching": 12, "skipped": 0, "jobs": 0}
    assert len(queued(api, jobs)) == 20
    assert replay(api) == {"matching": 0, "skipped": 0, "jobs": []}


def test_what_fails_again_is_a_dead_letter_again(api: Api) -> None:
    job = failed(api)
    assert replay(api)["jobs"] == [job.id]
    fail(api, start(api, job), GONE)
    assert [(one["count"], one["message"]) for one in letters(api.acme)] == [(1, "answered 404")]
    assert [one["number"] for one in shown(api, job)["steps"]["say"]["attempts"]] == [1, 2]


def test_a_job_whose_unique_key_another_one_has_is_skipped(api: Api) -> None:
    job = failed(api, {**ECHO, "unique_key": "k"})
    other = put_in(api.database, api.acme.tenant, {**ECHO, "unique_key": "k"})
    assert replay(api) == {"matching": 1, "skipped": 1, "jobs": []}
    assert (shown(api, job)["state"], shown(api, other)["state"]) == ("failed", "queued")


def test_a_failed_step_of_a_job_that_still_runs_waits_for_its_end(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {"steps": {"bad": {"kind": "echo"}, "other": {"kind": "echo"}}})
    fail(api, start(api, job, "bad"))
    assert replay(api) == {"matching": 0, "skipped": 0, "jobs": []}
    assert states(api, job) == {"bad": "failed", "other": "queued"}
    succeed(api, start(api, job, "other"))
    assert replay(api) == {"matching": 1, "skipped": 0, "jobs": [job.id]}


def test_a_job_that_was_canceled_is_left_alone(api: Api) -> None:
    steps = {"bad": {"kind": "echo"}, "other": {"kind": "echo"}}
    job = put_in(api.database, api.acme.tenant, {"steps": steps})
    fail(api, start(api, job, "bad"))
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 200
    assert replay(api) == {"matching": 0, "skipped": 0, "jobs": []}


def test_a_canary_that_cannot_run_is_replaced_by_another(api: Api) -> None:
    held = failed(api, ECHO | {"unique_key": "k"})
    put_in(api.database, api.acme.tenant, ECHO | {"unique_key": "k"})
    other = failed(api)
    assert replay(api, {"percent": 50}) == {"matching": 2, "skipped": 1, "jobs": [other.id]}
    assert states(api, held) == {"say": "failed"}


@pytest.mark.parametrize(
    ("wish", "pointers"),
    [
        ({"percent": 0}, ["/percent"]),
        ({"percent": 101}, ["/percent"]),
        ({"percent": "5"}, ["/percent"]),
        ({"limit": 0}, ["/limit"]),
        ({"limit": 1001}, ["/limit"]),
        ({"filter": {"kinds": "echo"}}, ["/filter/kinds"]),
        ({"filter": {"failed_after": "2026-01-01T00:00:00"}}, ["/filter/failed_after"]),
        ({"filter": {"failed_before": "yesterday"}}, ["/filter/failed_before"]),
        ({"filter": {"kind": "\0"}}, ["/filter/kind"]),
        ({"all": True}, ["/all"]),
    ],
)
def test_a_wish_that_makes_no_sense_replays_nothing(api: Api, wish: Any, pointers: list[str]) -> None:
    job = failed(api)
    answer = ask_replay(api, wish)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert shown(api, job)["state"] == "failed"


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_ends_of_the_calendar_are_times(api: Api, when: str) -> None:
    failed(api)
    replay(api, {"filter": {"failed_after": when, "failed_before": when}})


def test_a_key_that_may_only_read_replays_nothing(api: Api) -> None:
    job = failed(api)
    key = api.key(api.acme, "jobs:read")
    assert api.acme.ask("GET", "/v1/dead-letters", key=key).status_code == 200
    answer = api.acme.ask("POST", "/v1/dead-letters/replay", key=key)
    assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert shown(api, job)["state"] == "failed"
