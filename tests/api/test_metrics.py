"""What Prometheus is told."""

import re

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from storage import queues
from tasks.names import Priority, Queue
from tests.api.conftest import Api
from tests.api.deciding import decide, grow_old, serve
from tests.api.refusing import assert_problem
from tests.api.working import start, succeed
from tests.documents import CHAIN, put_in, taken

BY_PRIORITY = (
    "runnable",
    "running",
    "waiting",
    "scheduled",
    "retrying",
    "oldest_runnable_seconds",
    "arrivals_per_second",
    "completions_per_second",
)
BY_QUEUE = ("workers", "slots", "paused", "service_mean_seconds", "service_p95_seconds")
OF_POOL = ("replicas", "wanted_replicas", "min_replicas", "max_replicas", "decision_age_seconds")


@pytest.fixture
def operate(own_api: Api) -> str:
    return own_api.key(own_api.acme, "operate")


def scraped(api: Api, key: str) -> dict[str, Metric]:
    answer = api.acme.ask("GET", "/metrics", key=key)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    (found,) = [sample.value for sample in families[name].samples if sample.labels == labels]
    return found


def test_families_of_queues_and_pools_are_gauges_with_help_of_every_queue_and_priority(
    own_api: Api, operate: str
) -> None:
    told = scraped(own_api, operate)
    families = {name: family for name, family in told.items() if name.startswith(("millrace_queue_", "millrace_pool_"))}
    assert set(families) == {
        *(f"millrace_queue_{name}" for name in (*BY_PRIORITY, *BY_QUEUE)),
        *(f"millrace_pool_{name}" for name in OF_POOL),
    }
    for name, family in families.items():
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert len({tuple(sorted(sample.labels.items())) for sample in family.samples}) == len(family.samples)
    labels = [
        (sample.labels["queue"], sample.labels["priority"]) for sample in families["millrace_queue_runnable"].samples
    ]
    assert labels == [(queue, priority) for queue in Queue for priority in Priority]


def test_the_numbers_are_those_of_the_rows(own_api: Api, operate: str) -> None:
    api = own_api
    succeed(api, start(api, put_in(api.database, api.acme.tenant, {**CHAIN, "priority": "high"}), "first"))
    taken(api.database, api.other.tenant, put_in(api.database, api.other.tenant, CHAIN), "first")
    serve(api.database, "default", slots=4)
    with api.database.platform() as tx:
        queues.pause(tx, "images")
    told = scraped(api, operate)
    for priority, runnable, running, waiting in (("high", 1, 0, 1), ("normal", 0, 1, 2), ("low", 0, 0, 0)):
        of = {"queue": "default", "priority": priority}
        assert value(told, "millrace_queue_runnable", **of) == runnable
        assert value(told, "millrace_queue_running", **of) == running
        assert value(told, "millrace_queue_waiting", **of) == waiting
        assert (value(told, "millrace_queue_oldest_runnable_seconds", **of) > 0) == bool(runnable)
        for window in ("1m", "5m"):
            arrivals = value(told, "millrace_queue_arrivals_per_second", **of, window=window)
            assert (arrivals > 0) == (priority != "low")
            ended = value(told, "millrace_queue_completions_per_second", **of, window=window)
            assert (ended > 0) == (priority == "high")
    assert (
        value(told, "millrace_queue_slots", queue="default"),
        value(told, "millrace_queue_workers", queue="ai"),
    ) == (4, 0)
    assert [value(told, "millrace_queue_paused", queue=queue) for queue in Queue] == [1, 0, 0, 0]


def test_service_times_are_told_where_they_are_known(own_api: Api, operate: str) -> None:
    succeed(own_api, start(own_api, put_in(own_api.database, own_api.acme.tenant)))
    told = scraped(own_api, operate)
    for name in ("millrace_queue_service_mean_seconds", "millrace_queue_service_p95_seconds"):
        assert [sample.labels for sample in told[name].samples] == [{"queue": "default"}]
        assert 0 < told[name].samples[0].value < 10


def test_pools_are_told_as_the_scaler_left_them(own_api: Api, operate: str) -> None:
    decide(own_api.database, "images", replicas=2, wanted=5)
    decide(own_api.database, "ai", replicas=1, wanted=1)
    grow_old(own_api.database, "ai", 100)
    told = scraped(own_api, operate)
    numbers = [[value(told, f"millrace_pool_{name}", pool=pool) for name in OF_POOL[:4]] for pool in ("images", "ai")]
    assert numbers == [[2, 5, 1, 10], [1, 1, 1, 10]]
    assert value(told, "millrace_pool_decision_age_seconds", pool="images") < 60
    assert value(told, "millrace_pool_decision_age_seconds", pool="ai") > 100


def test_only_a_key_that_may_see_all_tenants_reads_metrics(api: Api) -> None:
    assert api.acme.ask("GET", "/metrics", key=api.key(api.acme, "operate:read")).status_code == 200
    answer = api.acme.get("/metrics")
    assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert api.acme.http.get("/metrics").status_code == 401
