"""`python -m tests.bench.step_load`: 600 jobs at once on a pool that has no worker, and what the scaler makes of it.

Prints the timeline, checks what has to be so, and draws it. The pool may have four workers of two slots.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import httpx2
import matplotlib as mpl
import psycopg

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from scheduler.pools import FOLDER
from tests import pools

ECHO = {"steps": {"say": {"kind": "echo", "sleep_seconds": 0.5}}}
SPEC = {"minReplicaCount": 0, "maxReplicaCount": 4, "pollingInterval": 5, "cooldownPeriod": 30}
LOOK_SECONDS = 0.25

_LOOK = """
SELECT (SELECT count(*) FROM steps WHERE state = 'queued'), (SELECT count(*) FROM steps WHERE state = 'running'),
       (SELECT count(*) FROM workers WHERE NOT stopping AND seen_until > now()),
       (SELECT coalesce(max(wanted), 0) FROM pools WHERE name = 'default')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What there was at a time, in seconds since the first job was sent."""

    at: float
    runnable: int
    running: int
    workers: int
    wanted: int


@click.command()
@click.option("--jobs", default=600, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), default="step-load.png", show_default=True)
def step_load(jobs: int, plot: Path) -> None:
    """Let JOBS jobs of half a second arrive at once."""
    with tempfile.TemporaryDirectory() as folder, _platform(Path(folder)) as running:
        began = time.monotonic()
        moments = list(_watched(running, began, jobs))
        with psycopg.connect(running.urls["database"]) as connection:
            said = connection.execute(
                "SELECT replicas, wanted, reason, extract(epoch FROM at - (SELECT min(created_at) FROM jobs))::float"
                " FROM scale_decisions WHERE pool = 'default' ORDER BY id"
            ).fetchall()
            outcomes = Counter(row[0] for row in connection.execute("SELECT outcome FROM attempts"))
    print("decisions (seconds since the first job):")
    for replicas, wanted, reason, at in said:
        print(f"  {at:7.1f}  {reason}")
        assert f"{replicas} → {wanted}" in reason
    first = next(moment.at for moment in moments if moment.workers)
    print(f"first worker ready at {first:.1f} s, all done at {next(m.at for m in moments if _is_done(m)):.1f} s,")
    print(f"back to none at {moments[-1].at:.1f} s; attempts: {dict(outcomes)}; reversals: {_reversals(said)}")
    _draw(moments, plot)
    print(plot)
    sys.exit(0 if outcomes == {"succeeded": jobs} and _reversals(said) <= 1 else 1)


@contextmanager
def _platform(folder: Path) -> Iterator[Running]:
    made = folder / "pools"
    made.mkdir()
    pools.write(made / "default.yaml", FOLDER / "default.yaml", **SPEC)
    env = {**os.environ, "POOLS_DIR": str(made)}
    with running_platform(folder / "home", settings=from_env(env), say=lambda _: None) as running:
        yield running


def _watched(running: Running, began: float, jobs: int) -> Iterator[Moment]:
    """Send the jobs, and look until they are done and no worker is left."""
    with (
        httpx2.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}) as client,
        psycopg.connect(running.urls["database"], autocommit=True) as connection,
        ThreadPoolExecutor(8) as pool,
    ):
        sent = [pool.submit(client.post, "/v1/jobs", json=ECHO) for _ in range(jobs)]
        seen = False
        while True:
            row = connection.execute(_LOOK).fetchone()
            assert row is not None
            runnable, busy, workers, wanted = row
            yield Moment(at=time.monotonic() - began, runnable=runnable, running=busy, workers=workers, wanted=wanted)
            seen = seen or workers > 0
            if seen and not (runnable or busy or workers or wanted):
                break
            assert time.monotonic() - began < 300
            time.sleep(LOOK_SECONDS)
        assert all(answer.result().status_code == 202 for answer in sent)


def _is_done(moment: Moment) -> bool:
    return moment.at > 10 and not moment.runnable and not moment.running


def _reversals(said: list[tuple[int, int, str, float]]) -> int:
    ways = [wanted > replicas for replicas, wanted, _, _ in said]
    return sum(one != other for one, other in pairwise(ways))


def _draw(moments: list[Moment], target: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    at = [moment.at for moment in moments]
    above.plot(at, [moment.runnable for moment in moments], label="runnable")
    above.plot(at, [moment.running for moment in moments], label="running")
    above.set_ylabel("steps")
    below.step(at, [moment.wanted for moment in moments], where="post", label="replicas wanted")
    below.step(at, [moment.workers for moment in moments], where="post", label="workers ready")
    below.set_ylabel("replicas")
    below.set_xlabel("seconds since the first job")
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    step_load(prog_name="python -m tests.bench.step_load")
