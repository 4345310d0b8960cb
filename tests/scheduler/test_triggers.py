"""What the triggers ask of a pool's numbers, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import triggers
from scheduler.errors import InvalidPool
from scheduler.hpa import Reading
from scheduler.scaledobject import Trigger
from scheduler.triggers import Age, Ahead, Depth, Drain, Due, Numbers, service_time

IDLE = Numbers(
    runnable=0,
    running=0,
    oldest=0.0,
    arrivals=0.0,
    arrivals_5m=0.0,
    service_mean=1.0,
    service_stddev=0.0,
    samples=990,  # with ten guessed ones of 1.0 the mean stays as it is
    slots=2,
)
DRAIN = Drain("drain", seconds=50.0, startup=10.0, every=5.0)  # it aims at 40 s


def asked(rule: triggers.Rule, numbers: Numbers, replicas: int = 1) -> float:
    reading = rule.read(numbers, replicas, 0.0)
    return reading.value / reading.target


def read(rule: triggers.Rule, numbers: Numbers, replicas: int = 1) -> Reading:
    return rule.read(numbers, replicas, 0.0)


def test_depth_is_the_runnable_steps_per_replica_and_active_while_some_run() -> None:
    rule = Depth("depth", 5.0, activation=2)
    assert asked(rule, IDLE._replace(runnable=12)) == 2.4
    assert [read(rule, IDLE._replace(runnable=n)).active for n in (2, 3)] == [False, True]
    assert read(rule, IDLE._replace(running=1)).active
    assert not read(Depth("list", 5.0, exact=False), IDLE._replace(running=1)).active


def test_age_grows_with_the_oldest_step_and_is_of_the_whole_pool() -> None:
    reading = read(Age("age", 30.0), IDLE._replace(runnable=1, oldest=45.0))
    assert (reading.value, reading.target, reading.is_average, reading.active) == (45.0, 30.0, False, True)
    assert not read(Age("age", 30.0, activation=50.0), IDLE._replace(runnable=1, oldest=45.0)).active


@pytest.mark.parametrize(
    ("runnable", "rate", "replicas", "wanted", "why"),
    [
        (0, 0.0, 3, 0, "no backlog and no arrivals ask for nothing"),
        (80, 0.0, 1, 1, "80 · 1 s / 2 slots = 40 s of one replica: the last waits 40 s"),
        (82, 0.0, 1, 2, "41 s are too long; one more does it"),
        (400, 0.0, 1, 5, "200 s of one replica, over 40 s"),
        (80, 2.0, 1, 1, "arrivals are worth one replica, which keeps up with them"),
        (80, 4.0, 1, 2, "arrivals are worth two: in 15 s 15 s more will have gathered; (40 + 10)/40 → 2"),
        (400, 10.0, 2, 6, "worth five: 200 s, and 3 · 10 s until they are up; 230/40"),
        (160, 0.0, 3, 3, "80/3 = 27 s of waiting are more than half the aim, and less than all: they stay"),
        (80, 0.0, 4, 2, "40 s over two replicas are 20 s, half the aim"),
        (0, 7.0, 4, 3, "worth 3.5, and three keep what the lower rate needs; two would let 1.5 · 15 s gather"),
        (0, 12.0, 6, 6, "worth six, as there are: Little"),
        (80, 12.0, 9, 6, "worth six; with six the last of 40 s waits 7 s"),
    ],
)
def test_drain_is_as_few_as_keep_the_wait_within_its_aim(
    runnable: int, rate: float, replicas: int, wanted: int, why: str
) -> None:
    steady = IDLE._replace(runnable=runnable, arrivals=rate, arrivals_5m=rate)
    assert asked(DRAIN, steady, replicas) == wanted, why


def test_drain_reckons_with_the_higher_rate_and_keeps_what_the_lower_one_needs() -> None:
    rising, falling = IDLE._replace(arrivals=12.0), IDLE._replace(arrivals_5m=12.0)
    assert asked(DRAIN, rising, 2) == asked(DRAIN, falling, 2) == 2  # 4 · 15 s gather, 30 s for two: not yet too long
    assert (
        asked(DRAIN, rising, 1) == asked(DRAIN, falling, 1) == 2
    )  # 5 · 15 s are too long for one; 50/40 when it is up
    both = rising._replace(arrivals_5m=7.0)
    assert asked(DRAIN, both, 2) == 3


def test_drain_asks_for_more_when_a_step_has_waited_too_long_whatever_was_reckoned() -> None:
    assert asked(DRAIN, IDLE._replace(runnable=9, oldest=50.0), 4) == 1
    assert asked(DRAIN, IDLE._replace(runnable=9, oldest=75.0), 4) == 6  # 4 · 75/50
    assert asked(DRAIN, IDLE._replace(runnable=9, oldest=9999.0), 4) == 8  # no more than twice at a time
    assert asked(DRAIN, IDLE._replace(runnable=8, oldest=9999.0), 4) == 1  # a slot is there for each of them


def test_drain_starts_from_zero_when_it_is_just_in_time() -> None:
    # 40 s are aimed at, a start takes 10; it is asked every 5 s: at 22.5 s the next look could be too late.
    active = [read(DRAIN, IDLE._replace(runnable=3, oldest=age), 0).active for age in (0.0, 22.0, 23.0, 100.0)]
    assert active == [False, False, True, True]


def test_drain_starts_at_once_where_there_is_work_for_a_whole_replica_or_a_start_takes_too_long() -> None:
    assert not read(DRAIN, IDLE._replace(runnable=59), 0).active
    assert read(DRAIN, IDLE._replace(runnable=60), 0).active  # 30 s of one replica, in the 30 s that it would have
    slow = Drain("drain", seconds=15.0, startup=10.0)
    assert read(slow, IDLE._replace(runnable=1), 0).active


def test_drain_never_lets_go_of_what_runs() -> None:
    assert read(DRAIN, IDLE._replace(running=1), 1).active
    assert not read(DRAIN, IDLE, 1).active
    assert read(Drain("drain", 50.0, activation=3), IDLE._replace(runnable=4), 1).active
    assert not read(Drain("drain", 50.0, activation=3), IDLE._replace(runnable=3), 1).active


@given(
    runnable=st.integers(0, 10**6),
    running=st.integers(0, 100),
    oldest=st.floats(0, 1e6),
    rate=st.floats(0, 1e4),
    mean=st.floats(1e-3, 1e3),
    samples=st.integers(0, 10**6),
    replicas=st.integers(0, 100),
)
def test_drain_asks_for_more_the_more_there_is_and_the_longer_it_has_waited(
    runnable: int, running: int, oldest: float, rate: float, mean: float, samples: int, replicas: int
) -> None:
    numbers = IDLE._replace(
        runnable=runnable, running=running, oldest=oldest, arrivals_5m=rate, service_mean=mean, samples=samples
    )
    reading = read(DRAIN, numbers, replicas)
    assert reading.value >= 0
    for more in (
        numbers._replace(runnable=runnable + 1),
        numbers._replace(oldest=oldest + 1),
        numbers._replace(arrivals_5m=rate + 1),
    ):
        assert asked(DRAIN, more, replicas) >= asked(DRAIN, numbers, replicas)
        assert read(DRAIN, more, replicas).active >= reading.active


def test_a_young_service_time_leans_on_the_guess_and_errs_on_the_safe_side() -> None:
    unknown = IDLE._replace(samples=0, service_mean=0.0)
    assert service_time(unknown, 2.0) == 2.0
    young = IDLE._replace(samples=10, service_mean=1.0, service_stddev=1.0)
    assert service_time(young, 2.0) == pytest.approx(1.5 + 1 / 10**0.5)
    old = IDLE._replace(samples=10_000, service_mean=1.0, service_stddev=1.0)
    assert service_time(old, 2.0) == pytest.approx(1.01, abs=0.002)


def test_ahead_is_there_before_what_is_due() -> None:
    rule = Ahead("ahead", seconds=50.0, lead=20.0)
    due = (Due(10.0, 100), Due(20.0, 60), Due(21.0, 1000))
    reading = read(rule, IDLE._replace(due=due))
    assert (reading.value, reading.active) == (2, True)  # 160 · 1 s / 2 slots, within 40 s
    assert reading.why == "160 steps are due within 20 s"
    assert read(rule, IDLE._replace(due=(Due(10.0, 1),))).why == "1 step is due within 20 s"
    assert not read(rule, IDLE._replace(due=due[2:])).active


def test_every_reading_has_its_sentence() -> None:
    some = IDLE._replace(runnable=412, oldest=3.0, service_mean=0.8, samples=10**6)
    assert read(DRAIN, some, 6).why == (
        "412 runnable at 0.8 s each would take 27 s, the oldest has waited 3 s, target 50 s"
    )
    assert read(DRAIN, IDLE, 6).why == "nothing is runnable"
    assert read(Depth("depth", 5.0), some).why == "412 runnable, 5 a replica"
    assert read(Age("age", 5.0), some).why == "the oldest runnable step is 3 s old, target 5 s"
    assert read(Ahead("ahead", 5.0), some).why == "nothing is due within 30 s"


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"type": "redis"}, "/type: 'redis' is not evaluated here; there are: external, external-push, cron"),
        ({"metadata": {"scale": "drian", "seconds": "5"}}, "/metadata/scale: must be one of depth, age, drain, ahead"),
        ({"metadata": {"scale": "drian", "seconds": "5"}}, "did you mean 'drain'?"),
        ({"metadata": {"scale": "drain", "second": "5"}}, "/metadata/second: unknown field; did you mean 'seconds'?"),
        ({"metadata": {"scale": "drain"}}, "/metadata/seconds: must be a number above 0, in quotes, not None"),
        ({"metadata": {"scale": "depth", "value": "0"}}, "/metadata/value: must be a number above 0"),
        ({"metadata": {"scale": "depth", "value": "many"}}, "/metadata/value: must be a number above 0"),
        ({"metadata": {"scale": "depth", "value": "5", "pool": "ai"}}, "/metadata/pool: must be the pool's own name"),
        ({"metadata": {"scale": "age", "seconds": "5"}}, "/metricType: must be Value for age"),
        (
            {"metadata": {"scale": "depth", "value": "5"}, "metricType": "Value"},
            "/metricType: must be AverageValue for depth",
        ),
    ],
)
def test_a_trigger_that_cannot_be_understood_says_where_and_why(trigger: dict[str, object], said: str) -> None:
    whole = {"type": "external", "metadata": {"scale": "depth", "value": "5"}, **trigger}
    with pytest.raises(InvalidPool) as caught:
        triggers.parse(Trigger.model_validate(whole, strict=False), "images", "/spec/triggers/0")
    assert said in str(caught.value)
    assert str(caught.value).startswith("/spec/triggers/0/")


def test_a_trigger_is_known_by_its_name_and_has_its_numbers() -> None:
    given_fields = {"scale": "drain", "seconds": "20", "startupSeconds": "3", "serviceSeconds": "0.5"}
    whole = Trigger.model_validate({"type": "external", "name": "quick", "metadata": given_fields}, strict=False)
    assert triggers.parse(whole, "images", every=2.0) == Drain("quick", 20.0, startup=3.0, guess=0.5, every=2.0)
