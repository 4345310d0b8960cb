"""`make soak MINUTES=30`: steady load, all faults in random order by a seed, and an account at the end.

Exit status 0 when nothing was lost and nothing was done twice, 1 when not.
"""

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import httpx2

from tests.faults import mishaps
from tests.faults.load import Load, Table, all_ended, load, mixed
from tests.faults.stack import BROKERS, LEASE_SECONDS, Stack, client, stack

CANCELED_SHARE = 0.02
POISON_EVERY = 97
END_SECONDS = 180.0
PAUSE_SECONDS = (
    0.35  # two threads: under half of what the workers can do, so that what is late was made late by a fault
)


@click.command()
@click.option("--minutes", default=15.0, show_default=True, help="How long the load and the faults go on.")
@click.option("--seed", default=None, type=int, help="Repeats the order of faults of an earlier run.")
@click.option("--broker", default="redis", show_default=True, type=click.Choice(BROKERS))
def soak(minutes: float, seed: int | None, broker: str) -> None:
    """Break everything that can break, at random, while jobs keep coming; then account for every one of them."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"soak: {minutes:g} minutes on {broker}, seed {seed} (--seed {seed} repeats it)", flush=True)
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder), broker) as running:
        faults, sent, canceled = _break_things(running, random.Random(seed), minutes * 60)
        table = all_ended(running, sent.accepted, within=END_SECONDS)
        _print(running, faults, sent, canceled, table)
    sys.exit(0 if table.is_right else 1)


def _break_things(running: Stack, chance: random.Random, seconds: float) -> tuple[Counter[str], Load, Load]:
    """Load and faults for so long; returns the faults by name, what was sent, and the cancellations."""
    faults: Counter[str] = Counter()
    end = time.monotonic() + seconds
    cancellations = Load()
    with load(running, threads=2, pause_seconds=PAUSE_SECONDS, document=_document(running)) as sent:
        canceller = threading.Thread(target=_cancel_some, args=(running, sent, cancellations, chance.random()))
        canceller.start()
        try:
            while time.monotonic() < end:
                time.sleep(chance.uniform(1.0, 6.0))
                name = chance.choice(sorted(mishaps.ALL))
                mishaps.ALL[name](running, chance)
                running.heal()
                faults[name] += 1
                print(f"{end - time.monotonic():6.0f} s left: {name}; accepted {len(sent.accepted)}", flush=True)
        finally:
            running.heal()
            cancellations.stop.set()
            canceller.join()
    return faults, sent, cancellations


def _document(running: Stack) -> Callable[[int], tuple[Mapping[str, Any], bytes | None]]:
    def made(number: int) -> tuple[Mapping[str, Any], bytes | None]:
        if number % POISON_EVERY == POISON_EVERY - 1:
            return {"steps": {"it": {"kind": "test.die"}}, "metadata": {"plan": "failed"}}, None
        return mixed(running, number)

    return made


def _cancel_some(running: Stack, sent: Load, cancellations: Load, seed: float) -> None:
    """Cancel a few jobs, soon after they were accepted."""
    chance, seen = random.Random(seed), 0
    with client(running.started) as http:
        while not cancellations.stop.wait(0.05):
            fresh = sent.accepted[seen:]
            seen += len(fresh)
            for job in fresh:
                if chance.random() < CANCELED_SHARE:
                    cancellations.answers.append(_cancel(http, job))


def _cancel(http: httpx2.Client, job: str) -> str:
    try:
        return str(http.post(f"/v1/jobs/{job}/cancel").status_code)
    except httpx2.TransportError as exc:
        return type(exc).__name__


def _print(running: Stack, faults: Counter[str], sent: Load, canceled: Load, table: Table) -> None:
    print("\nfaults")
    for name, times in sorted(faults.items()):
        print(f"  {name:<46}{times:>8}")
    print("\nanswers to submitting")
    for name, times in sorted(sent.statuses.items()):
        print(f"  {name:<46}{times:>8}")
    print("\njobs")
    for line in table.told():
        print(f"  {line}")
    print(f"  {'attempts lost and made good':<46}{mishaps.lost_attempts(running):>8}")
    print(f"  {'cancellations asked, answered':<46}{dict(canceled.statuses)}")
    print("\nslowest job, event by event")
    for line in mishaps.slowest(running):
        print(f"  {line}")
    for line in mishaps.unfinished(running):
        print(f"  UNFINISHED: {line}")
    print(f"  (lease {LEASE_SECONDS} s)")


if __name__ == "__main__":
    soak(prog_name="python -m tests.faults.soak")
