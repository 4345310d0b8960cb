"""`/v1/schedules` is the caller's own, needs its scope, and does with an Idempotency-Key once what is asked twice."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from api.errors import ConfigurationError
from api.settings import from_env
from storage import schedules
from storage.model import ScheduleId
from storage.schedule_model import new_schedule_id
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, eventually
from tests.api.serving import served, settings
from tests.api.timetable import NIGHTLY, ask, made, rows, shown

ROUTES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/trigger"),
    ("POST", "/backfill"),
    ("GET", "/runs"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_schedule_of_another_tenant_is_not_there(api: Api, method: str, route: str) -> None:
    schedule = made(api.acme)
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"} if route == "/backfill" else {}
    how = {} if method == "GET" else {"json": body}
    for schedule_id in (schedule["id"], new_schedule_id(), schedule["id"].upper(), "sch_", "job_x", "sch_%00"):
        answer = ask(api.other, method, f"/{schedule_id}{route}", {"If-Match": "*"}, **how)
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert shown(api.acme, schedule) == schedule
    assert ask(api.other, "GET", "").json()["data"] == []


@pytest.mark.parametrize(("method", "route"), [("POST", None), ("GET", None), ("POST", "preview"), *ROUTES])
def test_a_key_needs_its_scope(api: Api, method: str, route: str | None) -> None:
    path = "" if route is None else "/preview" if route == "preview" else f"/{made(api.acme)['id']}{route}"
    needed = "jobs:read" if method == "GET" or route == "preview" else "jobs:write"
    key = api.key(api.acme, "jobs:write" if needed == "jobs:read" else "jobs:read")
    before = rows(api, "schedules")
    answer = ask(api.acme, method, path, {"Authorization": f"Bearer {key}", "If-Match": "*"}, json=NIGHTLY)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert needed in problem.detail
    assert rows(api, "schedules") == before
    answer = ask(api.acme, method, path, {"Authorization": ""}, json=NIGHTLY)
    assert answer.status_code == 401


def test_the_same_request_again_is_the_same_schedule(api: Api) -> None:
    key = {"Idempotency-Key": "mine"}
    first, again = (ask(api.acme, "POST", "", key, json=NIGHTLY) for _ in range(2))
    assert (again.status_code, again.json()) == (201, first.json())
    assert (again.headers["location"], again.headers["etag"]) == (first.headers["location"], '"1"')
    another = ask(api.acme, "POST", "", key, json=NIGHTLY | {"name": "n"})
    assert_problem(another.status_code, another.headers, another.json(), (422, "idempotency_mismatch"))
    elsewhere = ask(api.acme, "POST", f"/{first.json()['id']}/trigger", key)
    assert_problem(elsewhere.status_code, elsewhere.headers, elsewhere.json(), (422, "idempotency_mismatch"))
    assert ask(api.other, "POST", "", key, json=NIGHTLY).status_code == 201
    assert rows(api, "schedules") == 1


def test_a_refused_request_frees_its_key(api: Api) -> None:
    key = {"Idempotency-Key": "mine"}
    assert ask(api.acme, "POST", "", key, json=NIGHTLY | {"cron": "x"}).status_code == 422
    assert ask(api.acme, "POST", "", key, json=NIGHTLY).status_code == 201
    malformed = ask(api.acme, "POST", "", {"Idempotency-Key": "a b"}, json=NIGHTLY)
    assert_problem(malformed.status_code, malformed.headers, malformed.json(), (400, "idempotency_key_malformed"))


def test_a_key_whose_request_is_not_done_yet_is_in_flight(api: Api) -> None:
    schedule = made(api.acme)
    key = {"Idempotency-Key": "mine"}

    async def ask_while_locked() -> httpx2.Response:
        headers = {"Authorization": f"Bearer {api.acme.key}", **key}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=30, verify=False) as client:
            with api.database.begin(api.acme.tenant) as tx:
                assert schedules.lock(tx, ScheduleId(schedule["id"])) is not None
                first = asyncio.create_task(client.post(f"/v1/schedules/{schedule['id']}/trigger"))
                await asyncio.to_thread(
                    eventually, lambda: rows(api, "idempotency") == 1, "the first request holds the key"
                )
                second = await client.post(f"/v1/schedules/{schedule['id']}/trigger")
                assert_problem(second.status_code, second.headers, second.json(), (409, "idempotency_in_flight"))
            return await first

    done = asyncio.run(ask_while_locked())
    again = ask(api.acme, "POST", f"/{schedule['id']}/trigger", key)
    assert (done.status_code, again.status_code, again.json()) == (202, 202, done.json())
    assert rows(api, "firings") == 1


def test_of_many_schedules_that_want_one_name_at_once_one_gets_it(api: Api) -> None:
    ids = [made(api.acme)["id"] for _ in range(6)]

    async def all_at_once() -> list[httpx2.Response]:
        headers = {"Authorization": f"Bearer {api.acme.key}", "If-Match": "*"}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=30, verify=False) as client:
            return await asyncio.gather(
                *(client.patch(f"/v1/schedules/{one}", json={"name": "nightly"}) for one in ids),
                *(client.post("/v1/schedules", json=NIGHTLY | {"name": "nightly"}) for _ in range(2)),
            )

    answers = asyncio.run(all_at_once())
    assert sorted(answer.status_code for answer in answers if answer.status_code != 409) in ([200], [201])
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"schedule_name_taken"}


def test_a_name_that_another_schedule_is_just_taking_is_waited_for_and_taken(api: Api) -> None:
    first, second = made(api.acme)["id"], made(api.acme)["id"]

    def waits() -> bool:
        with api.database.platform_read() as tx:
            return bool(
                tx.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database() AND query LIKE '%%UPDATE schedules%%'"
                ).scalar_one()
            )

    with ThreadPoolExecutor(1) as pool:
        with api.database.begin(api.acme.tenant) as tx:
            tx.sql("UPDATE schedules SET name = 'nightly' WHERE id = %(id)s", id=first)
            asked = pool.submit(ask, api.acme, "PATCH", f"/{second}", {"If-Match": "*"}, json={"name": "nightly"})
            eventually(waits, "the second change waits for the first")
        answer = asked.result()
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "schedule_name_taken"))


def test_a_pause_without_a_reason_says_who(api: Api) -> None:
    schedule = made(api.acme)
    assert ask(api.acme, "POST", f"/{schedule['id']}/pause").json()["paused_reason"] == "by its owner"


def test_there_are_only_so_many_schedules(api: Api) -> None:
    chosen = settings(api.database.settings.url, max_schedules=2)
    with served(chosen) as running, httpx2.Client(base_url=running.url, timeout=30) as http:
        headers = {"Authorization": f"Bearer {api.acme.key}"}
        asked = [http.post("/v1/schedules", headers=headers, json=NIGHTLY) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [201, 201, 409]
    assert asked[2].json()["code"] == "too_many_schedules"
    assert rows(api, "schedules") == 2


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_that_is_none_stops_the_start_with_its_name(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MAX_SCHEDULES"):
        from_env(
            {
                "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
                "STORAGE_URL": "memory://",
                "MAX_SCHEDULES": value,
            }
        )
