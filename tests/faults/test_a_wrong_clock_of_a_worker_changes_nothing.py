"""Leases, retries and times go by the database's clock, whatever the worker's own says."""

import os
from datetime import UTC, timedelta
from pathlib import Path

import psutil
import pytest

from tasks.names import Queue
from tests.faults.effects import attempts
from tests.faults.load import backlog, chain, nothing_is_lost
from tests.faults.stack import LEASE_SECONDS, Stack
from tests.faults.worker import another, deaf
from tests.sink import Answer

LONG_SECONDS = LEASE_SECONDS + 1.5  # the worker must renew its lease

OFFSETS = {"redis": "+2h", "rabbitmq": "-2h"}
OTHERS = {"worker-default": Queue.DEFAULT, "worker-calls": Queue.CALLS}

SLEEP = """
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""
"""libfaketime that leaves the monotonic clock alone answers EINVAL to the system call behind Python's own sleep."""


def test_a_worker_two_hours_off_works_as_any_other(stack: Stack, tmp_path: Path) -> None:
    offset = OFFSETS[stack.broker.name]
    clock = {"LD_PRELOAD": library(), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    known = psutil.Process(stack.pid("worker-calls")).environ().get("PYTHONPATH", "")
    clock["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{known}"
    began = stack.now()
    # In threads, since it serves both queues; the others take nothing, so that it has to do the work.
    with another(stack, like="worker-calls", queues=[*OTHERS.values()], **clock) as wrong, deaf(stack, OTHERS):
        assert worker_is_off(stack, offset)
        stack.sink.answers = [Answer(status=503), Answer()]
        jobs = backlog(stack, [chain(stack, LONG_SECONDS), *[chain(stack)] * 5])
        nothing_is_lost(stack, jobs, within=30)
    tried = attempts(stack, jobs)
    assert [outcome for _, _, outcome, _ in tried if outcome != "succeeded"] == ["retried"]
    workers = stack.rows("SELECT DISTINCT worker FROM steps WHERE job_id = ANY(%s)", jobs)
    assert all(worker.startswith(wrong) for (worker,) in workers)
    [(first, last)] = stack.rows("SELECT min(run_at), max(finished_at) FROM steps WHERE job_id = ANY(%s)", jobs)
    assert began < first < last < began + timedelta(minutes=1)
    assert all(began < started < last for _, _, _, started in tried)


def worker_is_off(stack: Stack, offset: str) -> bool:
    """Whether its log, which goes by its own clock, is two hours off."""
    hour = (stack.now().astimezone(UTC) + timedelta(hours=int(offset[:2]))).strftime('"at": "%Y-%m-%dT%H:')
    return hour in stack.log("second")


def library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed; on Debian and Ubuntu: apt install faketime")
    return str(found[0])
