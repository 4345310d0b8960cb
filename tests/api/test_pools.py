"""What the scaler decided, over HTTP: for operators only."""

from typing import Any

import httpx2
import pytest

from tests.api.conftest import Api
from tests.api.deciding import decide, grow_old
from tests.api.refusing import assert_problem
from tests.api.test_openapi import made, validator

PATHS = ("/v1/pools", "/v1/pools/images", "/v1/pools/images/decisions")


@pytest.fixture
def operate(own_api: Api) -> str:
    return own_api.key(own_api.acme, "operate")


def ask(api: Api, path: str, key: str, **params: Any) -> httpx2.Response:
    return api.acme.ask("GET", path, key=key, params=params)


def test_before_any_scaler_ran_there_is_no_pool(own_api: Api, operate: str) -> None:
    assert ask(own_api, "/v1/pools", operate).json() == {"data": []}
    for path in PATHS[1:]:
        answer = ask(own_api, path, operate)
        problem = assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
        assert problem.detail == "there is no such pool; no scaler has decided about any yet"


def test_a_pool_shows_its_last_decision_with_all_that_it_stood_on(own_api: Api, operate: str) -> None:
    decide(own_api.database, replicas=7, wanted=1, dry_run=True)
    decide(own_api.database, dry_run=True)
    pool = ask(own_api, "/v1/pools/images", operate).json()
    assert pool.pop("decided_at")
    assert 0 <= pool.pop("age_seconds") < 60
    assert pool == {
        "name": "images",
        "replicas": 1,
        "wanted": 3,
        "min_replicas": 1,
        "max_replicas": 10,
        "reason": "1 → 3: 12 runnable, 5 a replica",
        "stale": False,
        "dry_run": True,
        "trouble": None,
        "triggers": [
            {"trigger": "depth", "value": 12, "target": 5, "active": True, "why": "12 runnable, 5 a replica"},
            {"trigger": "age", "failed": "no answer"},
        ],
        "numbers": {
            "runnable": 12,
            "running": 3,
            "oldest_runnable_seconds": 4.5,
            "arrivals_per_second": {"1m": 2.0, "5m": 1.5},
            "service_seconds": {"mean": 0.4, "stddev": 0.1, "samples": 30},
            "slots": 2,
            "due": 7,
            "workers": 0,
        },
    }


def test_numbers_that_the_scaler_could_not_read_are_null(own_api: Api, operate: str) -> None:
    decide(own_api.database, seen=None)
    assert ask(own_api, "/v1/pools/images", operate).json()["numbers"] is None


def test_a_decision_of_more_than_a_minute_ago_is_stale(own_api: Api, operate: str) -> None:
    for name in ("ai", "images"):
        decide(own_api.database, name)
    grow_old(own_api.database, "images", 61)
    listed = ask(own_api, "/v1/pools", operate).json()["data"]
    assert [(pool["name"], pool["stale"]) for pool in listed] == [("ai", False), ("images", True)]
    assert listed[1]["age_seconds"] > 61


def test_decisions_that_changed_something_come_newest_first_page_by_page(own_api: Api, operate: str) -> None:
    for wanted in (2, 3, 3, 4, 1):
        decide(own_api.database, replicas=3, wanted=wanted)
        decide(own_api.database, "ai", wanted=9)
    pages: list[list[tuple[int, int]]] = []
    cursor: dict[str, str] = {}
    while True:
        page = ask(own_api, "/v1/pools/images/decisions", operate, limit=2, **cursor).json()
        pages.append([(one["replicas"], one["wanted"]) for one in page["data"]])
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == [[(3, 1), (3, 4)], [(3, 2)]]
    one = page["data"][0]
    assert set(one) == {"id", "at", "replicas", "wanted", "reason", "triggers", "dry_run"}
    assert (one["reason"], one["triggers"][1]["failed"]) == ("3 → 2: 12 runnable, 5 a replica", "no answer")
    assert ask(own_api, "/v1/pools/images/decisions", operate, limit=3).json()["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["", "0", "-1", "1x", "1\n", "9" * 19, "job_1", "\0", "²"])
def test_a_cursor_that_no_page_had_is_refused(own_api: Api, operate: str, cursor: str) -> None:
    decide(own_api.database)
    answer = ask(own_api, "/v1/pools/images/decisions", operate, cursor=cursor)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "cursor_invalid"))


@pytest.mark.parametrize("name", ["imags", "IMAGES", "%00"])
@pytest.mark.parametrize("path", ["/v1/pools/{}", "/v1/pools/{}/decisions"])
def test_a_pool_that_is_not_there_is_not_found_and_the_others_are_named(
    own_api: Api, operate: str, path: str, name: str
) -> None:
    for there in ("images", "ai"):
        decide(own_api.database, there)
    answer = ask(own_api, path.format(name), operate)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert problem.detail == "there is no such pool; there are: ai, images"


@pytest.mark.parametrize("path", PATHS)
def test_only_a_key_with_the_scope_operate_sees_pools(api: Api, path: str) -> None:
    answer = api.acme.get(path)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert "operate" in problem.detail
    assert api.acme.http.get(path).status_code == 401


def test_pools_and_queues_are_as_the_published_document_says(own_api: Api) -> None:
    key = own_api.key(own_api.acme, "operate", "jobs:read")
    decide(own_api.database)
    document = made()
    validator(document, "PoolPage").validate(ask(own_api, "/v1/pools", key).json())
    validator(document, "DecisionPage").validate(ask(own_api, "/v1/pools/images/decisions", key).json())
    validator(document, "QueuePage").validate(ask(own_api, "/v1/queues", key).json())
    validator(document, "QueueDocument").validate(own_api.acme.get("/v1/queues/ai").json())
