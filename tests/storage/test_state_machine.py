"""Jobs and steps in the database against a model of them: whatever is done, in whatever order, both stay the same.

More by hand: `MODEL_SEED=7 MODEL_STEPS=100000 pytest tests/storage/test_state_machine.py`.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from storage.database import Database
from tests.storage.machine_of_steps import Machine

SEED = os.environ.get("MODEL_SEED")
ACTIONS = int(os.environ.get("MODEL_STEPS", "2000"))
STEPS_EACH = 60
ACTIONS_EACH = 40  # at least, on average: some examples end early, and a step of work is several actions

MUST_BE_SEEN = {
    *("job.succeeded", "job.failed", "job.canceled", "job.expired", "job.stopping", "step.progress"),
    *("succeeded: None", "failed: boom", "retried: boom", "returned: boom", "lost: boom", "lost: poison"),
    *("canceled: job_canceled", "canceled: deadline_passed"),
}


@pytest.mark.timeout(max(600, ACTIONS / 10))  # to make a failure small takes up to five minutes
def test_the_database_does_what_the_model_does(database: Database) -> None:
    counts: Counter[str] = Counter()

    def machine() -> Machine:
        return Machine(database, counts)

    run_state_machine_as_test(
        seed(SEED)(machine) if SEED else machine,  # type: ignore[arg-type]  # it is only called, class or not
        settings=settings(
            max_examples=ACTIONS // ACTIONS_EACH,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            derandomize=SEED is None,
            database=None,
            phases=[Phase.generate, Phase.shrink],  # to explain a failure would trace every line, which takes minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
    assert counts["actions"] >= ACTIONS
    assert counts.keys() >= MUST_BE_SEEN
