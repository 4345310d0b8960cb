"""A real Prometheus, Debian's, on a free loopback port."""

import math
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.waiting import until


@dataclass(frozen=True, kw_only=True, slots=True)
class Prometheus:
    """What it answers; a query that it does not understand fails the test with its own words."""

    http: httpx2.Client

    def now(self, query: str) -> list[dict[str, Any]]:
        """The samples of this moment that are numbers, each with `metric` and `value`."""
        found = self._asked("query", {"query": query})["result"]
        return [sample for sample in found if not math.isnan(float(sample["value"][1]))]

    def lately(self, query: str, *, seconds: float) -> list[dict[str, Any]]:
        """The series of the last seconds that had a number at some moment, each with `metric` and `values`."""
        end = float(self._asked("query", {"query": "time()"})["result"][1])
        times = {"start": end - seconds, "end": end, "step": 1}
        found = self._asked("query_range", {"query": query, **times})["result"]
        return [series for series in found if any(not math.isnan(float(value)) for _, value in series["values"])]

    def rules(self) -> list[dict[str, Any]]:
        """All rules that it has loaded, with their `health`."""
        return [rule for group in self._asked("rules", {})["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with `labels` and `health`."""
        found: list[dict[str, Any]] = self._asked("targets", {"state": "active"})["activeTargets"]
        return found

    def names(self) -> set[str]:
        """The names of all metrics that it has."""
        answer = self.http.get("/api/v1/label/__name__/values").raise_for_status()
        return set(answer.json()["data"])

    def _asked(self, what: str, parameters: Mapping[str, Any]) -> Any:
        answer = self.http.get(f"/api/v1/{what}", params=dict(parameters)).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]


@contextmanager
def prometheus(folder: Path, configuration: str) -> Iterator[Prometheus]:
    """Run it with this configuration while the block runs; skips the test where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt install prometheus)")
    (folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        with httpx2.Client(base_url=f"http://{address}", timeout=30) as http:
            until(lambda: process.poll() is not None or _is_ready(http), seconds=60)
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield Prometheus(http=http)
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False
