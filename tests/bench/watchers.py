"""`python -m tests.bench.watchers`: what clients cost one API process that watch jobs of which nothing is heard.

On a whole platform, each client watches a job of its own, whose queue is paused, over a connection of its own. Stated
are the API's memory and CPU time for each client, and how late events come meanwhile; nothing about pass or fail.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx2
import psutil

from deploy.local.stack import Running, running_platform
from tests.bench.processes import family_seconds

SPARE = 1000  # files besides those of the clients


@click.command()
@click.option("--clients", "count", default=5000, show_default=True, help="Who watch at the same time.")
@click.option("--jobs", default=50, show_default=True, help="Of which events are timed meanwhile, of either kind.")
@click.option("--seconds", default=60.0, show_default=True, help="For which nothing happens.")
@click.option("--profile", type=click.Path(path_type=Path), help="Have py-spy write what the API does meanwhile.")
def watchers(count: int, jobs: int, seconds: float, profile: Path | None) -> None:
    """Measure, and print a table."""
    _raise_files(count + SPARE)
    with tempfile.TemporaryDirectory() as folder, running_platform(Path(folder), say=lambda _: None) as running:
        api = running.processes["api"]
        with _paused(running, "calls"), _clients(running, count, jobs) as other:
            _say(other, "submitted")
            _warm(running)
            empty = psutil.Process(api).memory_info().rss
            opened = _say(other, "open", go_on=True)
            filled = psutil.Process(api).memory_info().rss
            spent = _idle(api, seconds, profile)
            timed = _say(other, "lost", go_on=True)
    told: dict[str, float] = {
        "clients": count,
        "clients that were lost": timed.pop("lost"),
        "streams opened, per second": count / opened["seconds"],
        "API's memory before, MiB": empty / 2**20,
        "API's memory with all of them, MiB": filled / 2**20,
        "memory per client, KiB": (filled - empty) / 1024 / count,
        "API's CPU while idle, % of a core": 100 * spent / seconds,
        "CPU per client and minute, ms": 1000 * spent * 60 / seconds / count,
        **timed,
    }
    print(*(f"{name:<58} {figure:>10,.1f}" for name, figure in told.items()), sep="\n")


def _idle(api: int, seconds: float, profile: Path | None) -> float:
    """Let nothing happen for so long; returns the API's CPU seconds."""
    before = family_seconds(api)
    if profile is None:
        time.sleep(seconds)
    else:
        asked = (
            "record",
            "--pid",
            str(api),
            "--duration",
            f"{seconds:.0f}",
            "--format",
            "raw",
            "--output",
            str(profile),
        )
        subprocess.run([Path(sys.executable).with_name("py-spy"), *asked], check=True, stdout=subprocess.DEVNULL)
    return family_seconds(api) - before


def _warm(running: Running) -> None:
    """What a process loads and fills once is not what a client takes."""
    with httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}) as http:
        (job,) = http.get("/v1/jobs?limit=1").json()["data"]
        for _ in range(200):
            with http.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
                next(answer.iter_lines())


@contextmanager
def _paused(running: Running, queue: str) -> Iterator[None]:
    with httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}) as http:
        http.post(f"/v1/queues/{queue}/pause").raise_for_status()
        yield


@contextmanager
def _clients(running: Running, count: int, jobs: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.bench.watcher_clients", running.api, running.key, str(count), str(jobs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _say(process: "subprocess.Popen[str]", name: str, *, go_on: bool = False) -> dict[str, Any]:
    """What the clients say next, after they were told to go on."""
    assert process.stdin
    assert process.stdout
    if go_on:
        process.stdin.write("\n")
        process.stdin.flush()
    told: Mapping[str, Any] = json.loads(process.stdout.readline())
    assert name in told, told
    return dict(told)


def _raise_files(wanted: int) -> None:
    """Let this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise click.ClickException(f"the limit of open files is {hard}; {wanted} are needed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    watchers(prog_name="python -m tests.bench.watchers")
