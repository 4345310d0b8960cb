"""Any process of ours may be killed at any moment, again and again."""

import os
import random

import pytest

from tests.faults.load import all_ended, load
from tests.faults.stack import LEASE_SECONDS, Stack

KILLS = 20
VICTIMS = ("child", "worker-default", "worker-calls", "worker-images", "scheduler", "api")
SEED = "MILLRACE_FAULT_SEED"


@pytest.mark.timeout(240)
def test_twenty_kills_under_load(stack: Stack) -> None:
    seed = os.environ.get(SEED) or str(random.randrange(10**6))
    print(f"{SEED}={seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    with load(stack) as sent:
        for _ in range(KILLS):
            sent.stop.wait(chance.uniform(0.1, 1.0))
            victim = chance.choice(VICTIMS)
            if victim == "child":
                stack.kill_child("worker-default")
            else:
                stack.kill(victim)
    table = all_ended(stack, sent.accepted, within=LEASE_SECONDS * 3 + 30)
    assert table.is_right, table
    assert table.failed <= 2, table  # steps that were hit each time they were tried
