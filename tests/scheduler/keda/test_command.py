"""The process: its options, that it boots without a database, and that it answers with the numbers of one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from scheduler.keda.command import keda as command
from tests.scheduler.keda.wire import Keda, ref
from tests.waiting import until

DRAIN = ref(scale="drain", seconds="30")
ENV = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "STORAGE_URL": "s3://none",
    "AWS_REGION": "none",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


@contextlib.contextmanager
def _booted(log: Path, *options: str, **env: str) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, str]]]:
    """Run the command while the body runs; the process, and what it said when it was ready."""
    words = [
        sys.executable,
        "-c",
        "from scheduler.keda.command import keda; keda()",
        "--listen",
        "127.0.0.1:0",
        *options,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(words, env={**os.environ, **ENV, **env}, stdout=out, stderr=out)
    try:
        yield process, until(lambda: _ready(log, process))
    finally:
        process.kill()
        process.wait()


def _ready(log: Path, process: "subprocess.Popen[bytes]") -> dict[str, str] | None:
    assert process.poll() is None, log.read_text()
    said = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    return next((line for line in said if line["event"] == "keda.ready"), None)


def test_without_a_database_it_boots_gives_the_reason_and_ends_when_told(tmp_path: Path) -> None:
    with _booted(tmp_path / "log", "--http", "127.0.0.1:0") as (process, ready):
        assert ready["pools"] == "ai,calls,default,images"
        with grpc.insecure_channel(ready["listen"]) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                Keda(channel).is_active(DRAIN)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "the numbers of the pool 'images' cannot be read now" in error.details()
            stream = Keda(channel).stream_metric_spec(DRAIN)
            next(stream)
            process.send_signal(signal.SIGTERM)
            assert list(stream) == []
        assert process.wait(timeout=60) == 0


def test_with_a_database_it_answers_with_its_numbers(tmp_path: Path, database_url: str) -> None:
    with _booted(tmp_path / "log", DATABASE_URL=database_url) as (process, ready):
        with grpc.insecure_channel(ready["listen"]) as channel:
            assert Keda(channel).is_active(DRAIN) is False
            [metric] = Keda(channel).metrics(DRAIN, "millrace-images-drain")
            assert metric.metricValueFloat == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "6000"], "must be HOST:PORT such as 0.0.0.0:6000, not '6000'"),
        (["--http", "127.0.0.1:99999"], "must be HOST:PORT"),
        (["--interval", "0"], "0.1"),
        (["--pools", "/there/is/none"], "does not exist"),
        (["--tls-cert", __file__], "--tls-cert and --tls-key go together"),
        (["--tls-ca", __file__], "--tls-ca needs both"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: list[str], said: str) -> None:
    result = CliRunner().invoke(command, options, env=ENV)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
