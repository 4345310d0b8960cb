"""A hint says that a step may run: however often it comes, the step runs once."""

import subprocess
import sys

import psutil

from tests.faults.effects import attempts, running
from tests.faults.load import backlog, chain, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def test_every_hint_comes_again_before_during_and_after_its_step(stack: Stack) -> None:
    jobs = backlog(stack, [chain(stack, 0.1)] * 20)
    until(lambda: running(stack, jobs))
    for _ in range(2):
        send_again(stack, jobs)
    nothing_is_lost(stack, jobs, within=20)
    refused = hints_refused(stack)
    send_again(stack, jobs)
    until(lambda: hints_refused(stack) >= refused + 2 * len(jobs))
    table = nothing_is_lost(stack, jobs, within=5)
    assert table.repeated == 0
    assert {outcome for _, _, outcome, _ in attempts(stack, jobs)} == {"succeeded"}
    assert len(attempts(stack, jobs)) == 2 * len(jobs)


def send_again(stack: Stack, jobs: list[str]) -> None:
    relay = psutil.Process(stack.pid("scheduler"))  # in a process of its own: Celery's settings are read once in each
    command = [sys.executable, "-m", "tests.faults.again", *jobs]
    subprocess.run(command, env=relay.environ(), cwd=relay.cwd(), check=True, timeout=100)


def hints_refused(stack: Stack) -> int:
    return sum(stack.log(part).count("step.not_claimed") for part in ("worker-default", "worker-calls"))
