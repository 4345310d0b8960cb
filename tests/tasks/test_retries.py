"""When a failed step is tried again."""

from dataclasses import replace

import pytest

from storage.model import Claim, JobId, PublicError, StepId, TenantId
from tasks.names import Kind, Params, Retry
from tasks.retries import LONGEST_WISH_SECONDS, is_ours, jittered_seconds, seconds_to_next_attempt

POLICY = Retry(max_attempts=3, first_seconds=2, longest_seconds=10, deadline_seconds=100)
KIND = Kind(
    name="test",
    summary="",
    params=Params,
    run="",
    retry=POLICY,
    retry_by_code={"busy": replace(POLICY, max_attempts=5), "hopeless": replace(POLICY, max_attempts=1)},
)
CLAIM = Claim(
    tenant_id=TenantId("t"),
    job_id=JobId("j"),
    step_id=StepId("s"),
    name="it",
    kind="test",
    attempt=1,
    failures=0,
    max_attempts=3,
    losses=0,
    max_losses=3,
    tried_seconds=0,
    params={},
    input=None,
    uses=(),
)


def wait(
    code: str = "x", *, failures: int = 0, tried: float = 0, ran: float = 0, wish: float | None = None
) -> float | None:
    claim = replace(CLAIM, failures=failures, tried_seconds=tried)
    error = PublicError(code=code, message="y")
    return seconds_to_next_attempt(KIND, claim, error, ran_seconds=ran, wish_seconds=wish)


def test_the_wait_is_anywhere_below_a_ceiling_that_doubles_up_to_the_longest() -> None:
    for failures, ceiling in ((1, 2), (2, 4), (3, 8), (4, 10), (500, 10)):
        waits = [jittered_seconds(POLICY, failures) for _ in range(300)]
        assert 0 <= min(waits) < 0.2 * ceiling
        assert 0.8 * ceiling < max(waits) <= ceiling


def test_the_last_attempt_has_no_next_one() -> None:
    assert [wait(failures=failures) is None for failures in range(4)] == [False, False, True, True]


def test_an_error_may_have_a_policy_of_its_own() -> None:
    assert [wait("busy", failures=failures) is None for failures in (2, 3, 4)] == [False, False, True]
    assert wait("hopeless") is None


def test_a_failure_of_the_platform_itself_is_none_of_the_steps() -> None:
    assert wait("storage_unavailable", failures=2) is not None
    assert wait("storage_unavailable", failures=2, tried=86_400) is None
    assert is_ours(KIND, PublicError(code="storage_unavailable", message=""))
    assert not is_ours(KIND, PublicError(code="busy", message=""))


def test_a_third_partys_wish_is_never_undercut_and_its_callers_do_not_come_all_at_once() -> None:
    waits = [wait(wish=30) or 0 for _ in range(100)]
    assert 30 <= min(waits) < max(waits) <= 32


def test_nothing_is_tried_that_could_only_begin_after_the_deadline() -> None:
    assert wait(tried=60, ran=35) is not None
    assert wait(tried=60, ran=41) is None
    assert wait(wish=101) is None


@pytest.mark.parametrize("wish", [1e12, float("inf")])
def test_a_wish_without_measure_is_cut(wish: float) -> None:
    kind = replace(KIND, retry=replace(POLICY, deadline_seconds=1e9))
    error = PublicError(code="x", message="y")
    found = seconds_to_next_attempt(kind, CLAIM, error, ran_seconds=0, wish_seconds=wish)
    assert found is not None
    assert found <= LONGEST_WISH_SECONDS + 2
