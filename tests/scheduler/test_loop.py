"""Loops that are kept running."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

import pytest

from scheduler.loop import keep, pause_seconds
from storage.errors import DatabaseUnavailable


def test_a_loop_that_fails_is_run_again() -> None:
    ran: list[int] = []
    stop = threading.Event()

    def flaky(stop: threading.Event) -> None:
        ran.append(1)
        if len(ran) == 1:
            raise DatabaseUnavailable("away")
        if len(ran) == 2:
            raise ZeroDivisionError
        stop.set()

    keep({"flaky": flaky}, stop)
    assert len(ran) == 3


def test_the_pause_grows_to_its_bound_however_often_a_loop_fails() -> None:
    pauses = [pause_seconds(failures) for failures in (1, 2, 3, 4, 5, 10_000)]
    assert pauses == [0.5, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_all_loops_end_when_told_to() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()

    def wait(event: threading.Event) -> None:
        event.wait(30)

    keep({"a": wait, "b": wait}, stop)
    assert stop.is_set()


def scheduler(**env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", "run"],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_process_starts_and_stops_in_order(database_url: str, broker_url: str, s3_env: Mapping[str, str]) -> None:
    process = scheduler(DATABASE_URL=database_url, CELERY_BROKER_URL=broker_url, **s3_env)
    assert process.stdout is not None
    said = iter(process.stdout.readline, "")
    assert any("scheduler.ready" in line for line in said)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"CELERY_BROKER_URL": ""}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "redis://x", "DATABASE_URL": ""}, "DATABASE_URL"),
        ({"CELERY_BROKER_URL": "redis://x", "LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
        ({"CELERY_BROKER_URL": "redis://x", "STORAGE_URL": ""}, "STORAGE_URL"),
        ({"CELERY_BROKER_URL": "redis://x", "LEASE_SECONDS": "0"}, "LEASE_SECONDS"),
    ],
)
def test_a_bad_setting_stops_the_start_with_a_line_that_names_it(env: dict[str, str], name: str) -> None:
    process = scheduler(**{"DATABASE_URL": "postgresql://a:b@127.0.0.1/c", "STORAGE_URL": "memory://", **env})
    said, _ = process.communicate(timeout=20)
    assert process.returncode == os.EX_CONFIG
    assert said.startswith(f"error: {name}")
    assert said.count("\n") == 1
