"""The client reads numbers of queues, and what the scaler decided."""

import json
from collections.abc import Iterator, Mapping

import pytest

from api.client import ApiError, Millrace, MillraceError
from api.client import millrace as client
from deploy.local.servers import Urls
from tests.api.deciding import decide, grow_old, serve
from tests.api.sink import answer, sink
from tests.api.started import Api, api_here
from tests.documents import CHAIN, put_in, taken

OLD = {"name": "images", "paused": False, "paused_at": None}


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def operator(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.another_key("jobs:read", "operate")) as made:
        yield made


def test_the_numbers_of_queues_are_read(api: Api, operator: Millrace) -> None:
    job = put_in(api.database, api.tenant_id, {**CHAIN, "priority": "high"})
    taken(api.database, api.tenant_id, job, "first")
    serve(api.database, "default", slots=4)
    found = operator.queue("default")
    assert (found.name, found.workers, found.slots, found.paused) == ("default", 1, 4, False)
    assert found.load is not None
    assert (found.load.runnable, found.load.running, found.load.waiting) == (0, 1, 2)
    assert found.load.oldest_runnable_seconds is None
    assert found.load.arrivals_per_second.one_minute > found.load.arrivals_per_second.five_minutes > 0
    assert found.load.completions_per_second.one_minute == 0
    assert {priority: load.running for priority, load in found.by_priority.items()} == {
        "high": 1,
        "normal": 0,
        "low": 0,
    }
    api.succeed(job.id)
    api.end(taken(api.database, api.tenant_id, put_in(api.database, api.tenant_id), "say"))
    (again,) = [queue for queue in operator.queues() if queue.name == "default"]
    assert again.load is not None
    assert again.load.service_seconds is not None
    assert (again.load.service_seconds.samples, again.load.service_seconds.mean > 0) == (1, True)


def test_numbers_that_the_key_may_not_see_are_none(api: Api) -> None:
    with Millrace(api.url, api.key) as millrace:
        found = millrace.queue("images")
        assert (found.workers, found.slots, found.load, found.by_priority) == (None, None, None, {})
        with pytest.raises(ApiError, match="operate"):
            millrace.pools()
        with pytest.raises(ApiError, match="operate"):
            next(millrace.decisions("images"))


def test_pools_and_their_decisions_are_read(api: Api, operator: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for wanted in (2, 4, 5):
        decide(api.database, replicas=3, wanted=wanted)
    decide(api.database, "ai", dry_run=True, seen=None)
    grow_old(api.database, "images", 90)
    dry, pool = operator.pools()
    assert (dry.name, dry.dry_run, dry.stale, dry.numbers) == ("ai", True, False, None)
    assert (pool.name, pool.replicas, pool.wanted, pool.min_replicas, pool.max_replicas) == ("images", 3, 5, 1, 10)
    assert (pool.stale, pool.age_seconds > 90, pool.reason[:5]) == (True, True, "3 → 5")
    depth, age = pool.triggers
    assert (depth.name, depth.value, depth.target, depth.active, depth.failed) == ("depth", 12, 5, True, None)
    assert (age.name, age.value, age.failed) == ("age", None, "no answer")
    assert pool.numbers is not None
    assert pool.numbers["runnable"] == 12
    assert operator.pool("images").decided_at == pool.decided_at
    made = list(operator.decisions("images"))
    assert [(one.replicas, one.wanted) for one in made] == [(3, 5), (3, 4), (3, 2)]
    assert (made[0].triggers[0].why, made[0].dry_run) == ("12 runnable, 5 a replica", False)
    assert list(operator.decisions("images", limit=1)) == made[:1]


def test_what_is_not_there_is_not_found(operator: Millrace) -> None:
    for act in (operator.queue, operator.pool, lambda name: next(operator.decisions(name))):
        with pytest.raises(ApiError, match="there is no such") as caught:
            act("imags")
        assert caught.value.status == 404


def test_what_is_no_name_is_not_sent() -> None:
    with sink() as server, Millrace(server.url, "mk_x") as millrace:
        for name in ("", "..", "../jobs", "a/b", "a?b"):
            with pytest.raises(MillraceError, match="not the name of a queue"):
                millrace.queue(name)
            with pytest.raises(MillraceError, match="not the name of a pool"):
                millrace.pool(name)
            with pytest.raises(MillraceError, match="not the name of a pool"):
                next(millrace.decisions(name))
        assert server.heads == []


def test_an_older_server_is_understood() -> None:
    told = answer("200 OK", json.dumps({"data": [OLD]}).encode())
    with sink([told]) as server, Millrace(server.url, "mk_x") as millrace:
        (found,) = millrace.queues()
    assert (found.name, found.load, found.by_priority) == ("images", None, {})


def test_what_is_no_answer_of_the_platform_is_said_to_be_none() -> None:
    odd = answer("200 OK", json.dumps({"data": [{}], "next_cursor": None}).encode())
    with sink([odd]) as server, Millrace(server.url, "mk_x") as millrace:
        asked = (
            millrace.pools,
            lambda: millrace.pool("a"),
            lambda: millrace.queue("a"),
            lambda: next(millrace.decisions("a")),
        )
        for act in asked:
            with pytest.raises(MillraceError, match="not as Millrace writes it"):
                act()
