"""What Prometheus is told of schedules: the numbers of the rows, after real passes of the firing loop."""

import math

import pytest
from prometheus_client.metrics_core import Metric

from storage.firing_counts import BOUNDS
from storage.schedule_model import Outcome, Schedule
from tests.api.conftest import Api
from tests.api.test_metrics import scraped, value
from tests.scheduler.timetable import Timetable

FAMILIES = {
    "millrace_firings": "counter",
    "millrace_firing_lateness_seconds": "histogram",
    "millrace_schedules": "gauge",
    "millrace_firings_waiting": "gauge",
    "millrace_schedule_next_due_seconds": "gauge",
}
LATENESS = "millrace_firing_lateness_seconds"


@pytest.fixture
def operate(own_api: Api) -> str:
    return own_api.key(own_api.acme, "operate")


@pytest.fixture
def timetable(own_api: Api) -> Timetable:
    return Timetable(own_api.database, own_api.acme.tenant)


def by_outcome(told: dict[str, Metric]) -> dict[str, float]:
    assert {sample.name for sample in told["millrace_firings"].samples} == {"millrace_firings_total"}
    return {sample.labels["outcome"]: sample.value for sample in told["millrace_firings"].samples}


def histogram(told: dict[str, Metric]) -> tuple[dict[float, float], float, float]:
    """Cumulative buckets by upper bound, count, sum."""
    samples = told[LATENESS].samples
    buckets = {float(one.labels["le"]): one.value for one in samples if one.name == f"{LATENESS}_bucket"}
    (count,) = [one.value for one in samples if one.name == f"{LATENESS}_count"]
    (total,) = [one.value for one in samples if one.name == f"{LATENESS}_sum"]
    return buckets, count, total


def of_every_outcome(timetable: Timetable) -> Schedule:
    """Fire until each outcome stands in the rows; returns the schedule of which a firing waits."""
    waits, skips = timetable.make(every=60, overlap="buffer_one"), timetable.make(every=60, overlap="skip")
    missed, gone = timetable.make(every=60, catch_up="none"), timetable.make(every=60)
    with timetable.database.begin(timetable.tenant) as tx:
        job = '{"steps": {"say": {"kind": "acme.gone"}}}'
        asked = (
            "UPDATE schedules SET document = document || jsonb_build_object('job', %(job)s::jsonb) WHERE id = %(id)s"
        )
        tx.sql(asked, job=job, id=gone.id)
    for seconds in (60.2, 61.5):
        for schedule in (waits, skips):
            timetable.put_back(schedule, seconds)
        timetable.turn()
    timetable.put_back(missed, 230)
    timetable.put_back(gone, 61)
    timetable.turn()
    return waits


def test_families_have_types_and_help_and_zeros_at_first(own_api: Api, operate: str) -> None:
    told = scraped(own_api, operate)
    assert {name: told[name].type for name in FAMILIES} == FAMILIES
    assert all(told[name].documentation for name in FAMILIES)
    assert by_outcome(told) == {outcome.value: 0 for outcome in Outcome}
    buckets, count, total = histogram(told)
    assert (buckets, count, total) == (dict.fromkeys(BOUNDS, 0), 0, 0)
    states = {sample.labels["state"]: sample.value for sample in told["millrace_schedules"].samples}
    assert states == {"active": 0, "paused": 0, "ended": 0}
    assert value(told, "millrace_firings_waiting") == 0
    assert told["millrace_schedule_next_due_seconds"].samples == []  # none is due: no number, not the number zero


def test_firings_are_told_by_outcome_as_the_rows_have_them(own_api: Api, operate: str, timetable: Timetable) -> None:
    waits = of_every_outcome(timetable)
    with own_api.database.platform_read() as tx:
        rows = {row.outcome: row.n for row in tx.sql("SELECT outcome, count(*) AS n FROM firings GROUP BY outcome")}
    assert set(rows) == set(Outcome)
    told = scraped(own_api, operate)
    assert by_outcome(told) == rows
    assert value(told, "millrace_firings_waiting") == rows["buffered"] == 1
    timetable.end_jobs(waits)
    timetable.turn()
    told = scraped(own_api, operate)
    assert by_outcome(told) == {**rows, "started": rows["started"] + 1}  # a counter: it stays counted as buffered
    assert value(told, "millrace_firings_waiting") == 0


def test_lateness_is_told_as_the_rows_have_it(own_api: Api, operate: str, timetable: Timetable) -> None:
    of_every_outcome(timetable)
    caught_up = timetable.make(every=60, catch_up="all", overlap="allow")
    timetable.put_back(caught_up, 700)
    timetable.turn()
    with own_api.database.platform_read() as tx:
        late = [row.late_seconds for row in tx.sql("SELECT late_seconds FROM firings WHERE outcome = 'started'")]
    assert len(late) > 10
    buckets, count, total = histogram(scraped(own_api, operate))
    assert buckets == {bound: sum(seconds <= bound for seconds in late) for bound in BOUNDS}
    assert count == buckets[math.inf] == len(late)
    assert total == pytest.approx(sum(late))


def test_schedules_are_told_by_state_and_the_next_due_one(own_api: Api, operate: str, timetable: Timetable) -> None:
    schedule = timetable.make(every=3600)
    other = timetable.make(every=7200, max_runs=1)
    told = scraped(own_api, operate)
    assert value(told, "millrace_schedules", state="active") == 2
    assert 3500 < value(told, "millrace_schedule_next_due_seconds") <= 3600
    timetable.put_back(schedule, 3700)
    timetable.put_back(other, 7201)
    assert -160 < value(scraped(own_api, operate), "millrace_schedule_next_due_seconds") <= -100  # overdue
    timetable.turn()
    told = scraped(own_api, operate)
    assert value(told, "millrace_schedules", state="active") == 1
    assert value(told, "millrace_schedules", state="ended") == 1
    assert value(told, "millrace_schedule_next_due_seconds") > 3000


def test_counts_outlive_their_schedules(own_api: Api, operate: str, timetable: Timetable) -> None:
    of_every_outcome(timetable)
    before = by_outcome(scraped(own_api, operate))
    with own_api.database.platform() as tx:
        tx.sql("DELETE FROM schedules")
    assert by_outcome(scraped(own_api, operate)) == before
