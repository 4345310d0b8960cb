"""What a question means, without a server."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import pools
from scheduler.keda import question
from scheduler.triggers import Age, Ahead, Cron, Depth, Drain, Rule
from tests.scheduler.keda.serving import BUSY, IDLE

POOLS = pools.load()
RULES: list[Rule] = [
    Depth("depth", 2.5),
    Age("age", 10),
    Drain("drain", 30),
    Ahead("ahead", 10),
    Cron("cron", "UTC", "0 8 * * *", "0 20 * * *", 3),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_target_is_the_one_of_every_reading(rule: Rule) -> None:
    for numbers in (IDLE, BUSY):
        assert question.target(rule) == question.read(rule, numbers).target


@pytest.mark.parametrize("name", list(POOLS))
def test_what_keda_is_told_is_what_our_own_scaler_reads(name: str) -> None:
    pool = POOLS[name]
    for trigger, rule in zip(pool.scaled.spec.triggers, pool.rules, strict=True):
        found = question.understand(POOLS, name, trigger.metadata)
        assert found.pool is pool
        assert replace(found.rule, name=rule.name) == rule


@pytest.mark.parametrize("scale", ["depth", "age", "drain", "ahead"])
@pytest.mark.parametrize("name", ["images", "Bilder_groß.2"])
def test_a_metrics_name_fits_into_a_path(name: str, scale: str) -> None:
    some = {name: replace(POOLS["images"], name=name)}
    found = question.understand(some, name, {"scale": scale, "seconds" if scale != "depth" else "value": "1"})
    assert re.fullmatch(r"millrace-[a-z0-9-]+-[a-z]+", found.metric)


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_a_whole_number_is_never_less_unless_an_int64_ends_there(value: float) -> None:
    whole = question.whole(value)
    assert whole - 1 < value
    assert whole >= value or whole == 2**63 - 1
