"""What operators see of the whole platform: workers and what they do, tenants, what came and was done of late."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.count import fold_all
from storage import workers
from storage.database import Database
from storage.flow import interval_seconds
from storage.model import Job
from tasks.names import Queue
from tests.api.conftest import Api
from tests.api.deciding import decide
from tests.api.refusing import assert_problem
from tests.api.working import succeed
from tests.documents import put_in, taken

WORKER = "images@images-x7k2/host/7/0a"


@pytest.fixture
def watcher(own_api: Api) -> str:
    return own_api.key(own_api.other, "operate:read")


def ask(api: Api, path: str, key: str, **params: Any) -> Any:
    answer = api.acme.ask("GET", path, key=key, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def live(database: Database, name: str, queues: Sequence[str], *, stopping: bool = False, seconds: float = 60) -> None:
    with database.platform() as tx:
        workers.seen(tx, name, queues=queues, slots=2, for_seconds=seconds, stopping=stopping)


def test_no_worker_lives_where_none_does(own_api: Api, watcher: str) -> None:
    live(own_api.database, WORKER, ["images"], seconds=-1)
    assert ask(own_api, "/v1/workers", watcher) == {"data": []}


def test_a_worker_tells_what_it_works_on_for_whom(own_api: Api, watcher: str) -> None:
    decide(own_api.database)  # about the pool `images`
    live(own_api.database, WORKER, ["images", "default"])
    live(own_api.database, "mine@here/host/8/0b", ["default"], stopping=True)
    job = put_in(own_api.database, own_api.acme.tenant)
    claim = taken(own_api.database, own_api.acme.tenant, job, "say", worker=WORKER)
    first, second = ask(own_api, "/v1/workers", watcher)["data"]
    (running,) = first.pop("running")
    assert datetime.fromisoformat(first.pop("started_at")).tzinfo is not None
    assert first.pop("version") is None
    assert first == {
        "name": WORKER,
        "replica": "images-x7k2",
        "pool": "images",
        "queues": ["images", "default"],
        "slots": 2,
        "stopping": False,
    }
    assert running.pop("tenant").startswith("acme-")
    assert running.pop("seconds") >= 0
    assert running.pop("started_at")
    assert running == {"job": job.id, "step": "say", "kind": "echo", "attempt": 1, "progress": 0.0}
    assert (second["pool"], second["stopping"], second["running"]) == (None, True, [])
    succeed(own_api, claim)
    assert ask(own_api, "/v1/workers", watcher)["data"][0]["running"] == []


def test_tenants_are_listed_by_name(own_api: Api, watcher: str) -> None:
    told = ask(own_api, "/v1/tenants", watcher)["data"]
    assert [one["id"] for one in told] == [own_api.acme.tenant, own_api.other.tenant]
    assert [one["name"] for one in told] == sorted(one["name"] for one in told)


def flow(api: Api, key: str, **params: Any) -> tuple[int, dict[str, list[Any]]]:
    told = ask(api, "/v1/queues/flow", key, **params)
    return told["seconds"], told["data"]


def long_ago(database: Database, minutes: float) -> None:
    """Everything that was counted happened earlier."""
    with database.platform() as tx:
        for table in ("step_changes", "step_flow"):
            tx.sql(f"UPDATE {table} SET at = at - make_interval(secs => %(by)s)", by=minutes * 60)


@pytest.mark.parametrize("folded", [False, True])
def test_what_came_and_was_done_is_told_interval_by_interval(own_api: Api, watcher: str, folded: bool) -> None:
    jobs = [put_in(own_api.database, own_api.acme.tenant) for _ in range(3)]
    for job in jobs[:2]:
        done(own_api, job)
    if folded:
        fold_all(own_api.database)
    long_ago(own_api.database, 10)
    seconds, queues = flow(own_api, watcher)
    assert (seconds, list(queues)) == (60, list(Queue))
    assert [sum(one[number] for one in queues["default"]) for number in ("arrived", "ended")] == [3, 2]
    assert [sum(one["arrived"] + one["ended"] for one in queues[name]) for name in ("images", "ai", "calls")] == [0] * 3
    times = [datetime.fromisoformat(one["at"]) for one in queues["default"]]
    assert len(times) == 60
    assert {after - before for before, after in itertools.pairwise(times)} == {timedelta(minutes=1)}


def done(api: Api, job: Job) -> None:
    succeed(api, taken(api.database, api.acme.tenant, job, "say"))


def test_what_goes_on_is_no_point_yet_and_what_is_older_none_any_more(own_api: Api, watcher: str) -> None:
    put_in(own_api.database, own_api.acme.tenant)
    long_ago(own_api.database, 6)
    assert sum(one["arrived"] for one in flow(own_api, watcher, minutes=5)[1]["default"]) == 0
    assert sum(one["arrived"] for one in flow(own_api, watcher, minutes=15)[1]["default"]) == 1
    now = datetime.fromisoformat(flow(own_api, watcher, minutes=5)[1]["default"][-1]["at"])
    with own_api.database.platform_read() as tx:
        assert now + timedelta(seconds=5) <= tx.sql("SELECT clock_timestamp()").scalar_one()


def test_intervals_that_do_not_fill_the_time_asked_for_miss_nothing(own_api: Api, watcher: str) -> None:
    put_in(own_api.database, own_api.acme.tenant)
    long_ago(own_api.database, 40)
    seconds, queues = flow(own_api, watcher, minutes=61)
    assert (seconds, len(queues["default"])) == (65, 56)
    assert sum(one["arrived"] for one in queues["default"]) == 1


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 5), (5, 5), (6, 10), (60, 60), (110, 110)])
def test_there_are_at_most_sixty_points(minutes: int, seconds: int) -> None:
    assert interval_seconds(minutes) == seconds


@pytest.mark.parametrize("minutes", ["0", "111", "x"])
def test_a_time_that_is_not_kept_is_refused(own_api: Api, watcher: str, minutes: str) -> None:
    answer = own_api.acme.ask("GET", "/v1/queues/flow", key=watcher, params={"minutes": minutes})
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_parameter"), ["/query/minutes"])
