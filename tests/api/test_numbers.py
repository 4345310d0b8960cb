"""The exact numbers of queues: for operators, of all tenants, and never a zero that is not known."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from storage import counts, queues, scaling, steps
from storage.database import Database
from tasks.names import Queue
from tests.api.conftest import Api, seen
from tests.api.deciding import decide, serve
from tests.api.refusing import assert_problem
from tests.api.relay import Relay, relayed
from tests.api.serving import served, settings
from tests.api.working import BOOM, fail, start, succeed
from tests.documents import CHAIN, ECHO, put_in

STATES = ("runnable", "running", "waiting", "scheduled", "retrying")
NUMBERS = ("workers", "slots", "load", "by_priority")
NOTHING = {
    "runnable": 0,
    "running": 0,
    "waiting": 0,
    "scheduled": 0,
    "retrying": 0,
    "oldest_runnable_seconds": None,
    "arrivals_per_second": {"1m": 0.0, "5m": 0.0},
    "completions_per_second": {"1m": 0.0, "5m": 0.0},
    "service_seconds": None,
}


@pytest.fixture
def operate(own_api: Api) -> str:
    return own_api.key(own_api.other, "operate", "jobs:read")


def queue(api: Api, key: str, name: str = "default") -> Any:
    """The queue's document; the listing has the same states, in the same place as ever."""
    answer = api.acme.ask("GET", f"/v1/queues/{name}", key=key)
    assert answer.status_code == 200
    listed = api.acme.ask("GET", "/v1/queues", key=key).json()["data"]
    assert [one["name"] for one in listed] == list(Queue)
    found = answer.json()
    again = listed[list(Queue).index(Queue(name))]
    assert [found["load"][state] for state in STATES] == [again["load"][state] for state in STATES]
    return found


def test_a_queue_without_work_says_zero_for_every_priority(own_api: Api, operate: str) -> None:
    answer = own_api.acme.ask("GET", "/v1/queues/images", key=operate).json()
    assert answer == {
        "name": "images",
        "paused": False,
        "paused_at": None,
        "workers": 0,
        "slots": 0,
        "load": NOTHING,
        "by_priority": {"high": NOTHING, "normal": NOTHING, "low": NOTHING},
    }


def test_steps_are_counted_by_their_state_and_priority(own_api: Api, operate: str) -> None:
    api = own_api
    start(api, put_in(api.database, api.acme.tenant, {**CHAIN, "priority": "high"}), "first")
    put_in(api.database, api.acme.tenant, CHAIN)
    claim = start(api, put_in(api.database, api.acme.tenant, {**ECHO, "priority": "low"}))
    with api.database.begin(claim.tenant_id) as tx:
        steps.retry(tx, claim, BOOM, delay_seconds=60)
    found = queue(api, operate)
    load = found["load"]
    assert (load["runnable"], load["running"], load["waiting"], load["retrying"]) == (1, 1, 4, 1)
    assert 0 <= load["oldest_runnable_seconds"] < 60
    assert load["arrivals_per_second"]["1m"] > 0
    by_priority = found["by_priority"]
    assert [by_priority[name]["running"] for name in ("high", "normal", "low")] == [1, 0, 0]
    assert [by_priority[name]["runnable"] for name in ("high", "normal", "low")] == [0, 1, 0]
    assert [by_priority[name]["retrying"] for name in ("high", "normal", "low")] == [0, 0, 1]
    assert by_priority["low"]["oldest_runnable_seconds"] is None


def test_attempts_that_ended_tell_how_long_one_takes(own_api: Api, operate: str) -> None:
    succeed(own_api, start(own_api, put_in(own_api.database, own_api.acme.tenant)))
    fail(own_api, start(own_api, put_in(own_api.database, own_api.acme.tenant)))
    load = queue(own_api, operate)["load"]
    assert load["completions_per_second"]["1m"] > load["completions_per_second"]["5m"] > 0
    service = load["service_seconds"]
    assert set(service) == {"mean", "p95", "stddev", "samples"}
    assert service["samples"] == 2
    assert 0 < service["mean"] < 10


def test_workers_and_their_slots_are_there(own_api: Api, operate: str) -> None:
    serve(own_api.database, "default", "images", slots=4)
    serve(own_api.database, "default", slots=3)
    found = [queue(own_api, operate, name) for name in ("default", "images", "ai")]
    assert [(one["workers"], one["slots"]) for one in found] == [(2, 7), (1, 4), (0, 0)]


def test_without_the_scope_operate_no_number_is_seen(own_api: Api) -> None:
    put_in(own_api.database, own_api.other.tenant)
    with own_api.database.platform() as tx:
        queues.pause(tx, "ai")
    listed = own_api.acme.get("/v1/queues").json()["data"]
    assert [(one["name"], one["paused"]) for one in listed] == [(name, name == "ai") for name in Queue]
    one = own_api.acme.get("/v1/queues/default").json()
    assert all(document[number] is None for document in (one, *listed) for number in NUMBERS)


@pytest.mark.parametrize("scope", ["jobs:write"])
def test_a_key_that_may_not_read_reads_no_queue(api: Api, scope: str) -> None:
    key = api.key(api.acme, scope)
    for path in ("/v1/queues", "/v1/queues/images"):
        answer = api.acme.ask("GET", path, key=key)
        assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))


@pytest.mark.parametrize("name", ["imags", "IMAGES", "%00"])
def test_a_queue_that_is_not_there_is_not_found_and_the_others_are_named(api: Api, name: str) -> None:
    answer = api.acme.get(f"/v1/queues/{name}")
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert problem.detail == "there is no such queue; there are: images, ai, calls, default"


@pytest.fixture
def cuttable(database: Database, database_url: str) -> Iterator[tuple[Api, Relay]]:
    """The app, whose way to the database can be cut, and what cuts it; the test's own way stays."""
    with relayed(database_url) as (relay, url), served(settings(url)) as running, seen(running, database) as api:
        yield api, relay


PATHS = ("/v1/queues", "/v1/queues/default", "/v1/pools", "/v1/pools/images", "/v1/pools/images/decisions", "/metrics")


def unavailable(answer: httpx2.Response) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), (503, "database_unavailable"))
    assert int(answer.headers["retry-after"]) > 0


def test_numbers_that_cannot_be_read_are_an_error_and_not_zero(
    cuttable: tuple[Api, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, relay = cuttable
    key = api.key(api.acme, "operate", "jobs:read")
    decide(api.database)

    def cut_off(read: Callable[..., Any]) -> Callable[..., Any]:
        """The database goes after the key has been looked up, in the midst of the numbers."""

        def reading(*args: Any, **kwargs: Any) -> Any:
            relay.cut()
            return read(*args, **kwargs)

        return reading

    with monkeypatch.context() as patch:
        patch.setattr(counts, "read", cut_off(counts.read))
        patch.setattr(scaling, "standing", cut_off(scaling.standing))
        for path in PATHS:
            unavailable(api.acme.ask("GET", path, key=key))
            unavailable(api.acme.ask("GET", path, key=key))  # it is away from the start
            relay.mend()
    assert [api.acme.ask("GET", path, key=key).status_code for path in PATHS] == [200] * len(PATHS)
