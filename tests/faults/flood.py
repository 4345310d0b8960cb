"""`make flood`: many jobs queued at once, and processes killed at random while they are worked on.

Exit status 0 when nothing was lost and nothing was done twice, 1 when not, or when the jobs had ended before the kills.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import psutil

from tests.faults import mishaps
from tests.faults.load import Table, all_ended, batch, chain, echo
from tests.faults.stack import BROKERS, Stack, stack
from tests.waiting import until

VICTIMS = ("child", "worker-default", "worker-calls", "scheduler", "api")
CALL_EVERY = 4  # of so many jobs one calls the third party, which counts what it is sent
STEP_SECONDS = 0.005
BATCH = 10_000  # as many as one request may bring
END_SECONDS = 600.0

_OPEN = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"


@click.command()
@click.option("--jobs", default=20_000, show_default=True, help="How many are queued before anything is killed.")
@click.option("--kills", default=120, show_default=True, help="How many processes are killed, one after the other.")
@click.option("--seed", default=None, type=int, help="Repeats the choice of an earlier run.")
@click.option("--broker", default="redis", show_default=True, type=click.Choice(BROKERS))
def flood(jobs: int, kills: int, seed: int | None, broker: str) -> None:
    """Queue many jobs, kill what works on them again and again, and account for every one of them."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"flood: {jobs} jobs and {kills} kills on {broker}, seed {seed} (--seed {seed} repeats it)", flush=True)
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder), broker) as running:
        queued = [job for batch in _batches(running, jobs) for job in batch]
        print(f"{len(queued)} are queued; {_open(running)} of them have not ended", flush=True)
        began = time.monotonic()
        killed = _kill(running, random.Random(seed), kills)
        print(f"{killed.total()} of {kills} kills, in {time.monotonic() - began:.0f} s, hit it at work: {dict(killed)}")
        table = all_ended(running, queued, within=END_SECONDS)
        _print(running, table)
    sys.exit(0 if table.is_right and len(queued) == jobs and killed.total() == kills else 1)


def _batches(running: Stack, jobs: int) -> Iterator[list[str]]:
    """Submit them, as many in a request as it may bring; their ids."""
    for first in range(0, jobs, BATCH):
        yield batch(running, [_document(running, number) for number in range(first, min(first + BATCH, jobs))])


def _document(running: Stack, number: int) -> dict[str, object]:
    return chain(running, STEP_SECONDS) if number % CALL_EVERY == 0 else echo(STEP_SECONDS)


def _kill(running: Stack, chance: random.Random, kills: int) -> Counter[str]:
    """Kill so many processes, a moment apart; by what they were, those that were killed while jobs were open."""
    chosen = [(chance.uniform(0.1, 0.8), chance.choice(VICTIMS)) for _ in range(kills)]
    killed: Counter[str] = Counter()
    for number, (pause, victim) in enumerate(chosen, start=1):
        time.sleep(pause)
        until(partial(_is_killed, running, victim), seconds=60)
        still = _open(running)
        killed[victim] += still > 0
        print(f"{number:4} {victim}; {still} jobs are open", flush=True)
    return killed


def _is_killed(running: Stack, victim: str) -> bool:
    try:
        if victim == "child":
            return running.kill_child("worker-default")
        running.kill(victim)
    except psutil.NoSuchProcess:  # it was on its way down already
        return False
    return True


def _open(running: Stack) -> int:
    [(count,)] = running.rows(_OPEN)
    return int(count)


def _print(running: Stack, table: Table) -> None:
    print("\njobs")
    unfinished = [f"UNFINISHED: {line}" for line in mishaps.unfinished(running)]
    for line in (*table.told(), f"{'attempts lost and made good':<46}{mishaps.lost_attempts(running):>8}", *unfinished):
        print(f"  {line}")


if __name__ == "__main__":
    flood(prog_name="python -m tests.faults.flood")
