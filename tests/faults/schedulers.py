"""Schedulers that race, are killed at random and started again; then every nominal time is accounted for.

`python -m tests.faults.schedulers --minutes 3` does it by hand, with a table; exit status 1 when one is missing or has
been fired twice.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click

from deploy.local.servers import embedded_servers
from storage import schedules
from storage.database import Database
from storage.migrate import upgrade
from storage.schedule_model import Schedule
from storage.settings import from_env
from storage.tenants import ensure
from tasks import scheduling
from tasks.schedules import parse
from tests.waiting import until

SLOWEST_SECONDS = 60
LOG = "schedulers.log"
LIFE_SECONDS = (0.5, 8.0)  # between two kills
JOB = {"steps": {"say": {"kind": "echo", "message": "{{schedule.fire_time}}"}}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What was found at the end: `wrong` names every nominal time that has not exactly one row and one job."""

    firings: int
    kills: int
    wrong: Sequence[str]
    late: Sequence[float]  # seconds from each nominal time to the writing of its row, in order

    def at(self, share: float) -> float:
        """The lateness that this share of the firings does not exceed."""
        return self.late[min(len(self.late) - 1, int(share * len(self.late)))]


def race(
    database: Database, env: Mapping[str, str], *, count: int, seconds: float, chance: random.Random, folder: Path
) -> Account:
    """Have three schedulers race for so long over `count` schedules of every second to every minute.

    The clock of one of them is two hours fast, where libfaketime is there.
    """
    clocks: list[Mapping[str, str]] = [{}, {}, _fast_clock()]
    with ExitStack() as stack:
        running = [stack.enter_context(_killed_at_the_end({**env, **clock}, folder)) for clock in clocks]
        until(lambda: (folder / LOG).read_text().count("scheduler.ready") == len(running))
        made = _make(database, count)
        kills = _kill_at_random(running, chance, seconds)
        with database.read(made[0].tenant_id) as tx:
            end = schedules.clock(tx)
        until(lambda: _is_past(database, end), seconds=60)
    return _account(database, made, end, kills)


class _Scheduler:
    """A process that is killed and started again."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._env, self._log = env, log
        self._process = self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            words = [sys.executable, "-m", "scheduler", "fire"]
            return subprocess.Popen(words, env={**os.environ, **self._env}, stdout=log, stderr=log)


@contextmanager
def _killed_at_the_end(env: Mapping[str, str], folder: Path) -> Iterator[_Scheduler]:
    made = _Scheduler(env, folder / LOG)
    try:
        yield made
    finally:
        made.kill()


def _fast_clock() -> dict[str, str]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        return {}
    return {"LD_PRELOAD": str(library), "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _make(database: Database, count: int) -> list[Schedule]:
    with database.platform() as tx:
        tenants = [ensure(tx, name) for name in ("acme", "other")]
    made = []
    for tenant_id in tenants:
        with database.begin(tenant_id) as own:
            now = schedules.clock(own)
            for number in range(count // len(tenants)):
                given = {"every": number % SLOWEST_SECONDS + 1, "overlap": "allow", "catch_up": "all", "job": JOB}
                made.append(scheduling.create(own, parse(given, now=now), now))
    return made


def _kill_at_random(running: Sequence[_Scheduler], chance: random.Random, seconds: float) -> int:
    kills, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, chance.uniform(*LIFE_SECONDS)))
        chance.choice(running).restart()
        kills += 1
    return kills


def _is_past(database: Database, end: datetime) -> bool:
    """Whether all that was due by then has fired."""
    with database.platform_read() as tx:
        return not tx.sql("SELECT EXISTS (SELECT FROM schedules WHERE next_at <= %(end)s)", end=end).scalar_one()


def _account(database: Database, made: Sequence[Schedule], end: datetime, kills: int) -> Account:
    asked = """
    SELECT f.schedule_id, f.nominal_at, f.outcome, extract(epoch FROM f.fired_at - f.nominal_at)::float AS late,
           (SELECT count(*) FROM jobs j WHERE j.tenant_id = f.tenant_id AND j.schedule_id = f.schedule_id
                                          AND j.fire_time = f.nominal_at) AS jobs
    FROM firings f WHERE f.nominal_at <= %(end)s
    """
    wrong, late, found = [], [], {schedule.id: set[datetime]() for schedule in made}
    with database.platform_snapshot() as tx:
        for row in tx.sql(asked, end=end):
            found[row.schedule_id].add(row.nominal_at)
            late.append(row.late)
            if (row.outcome, row.jobs) != ("started", 1):
                wrong.append(f"{row.schedule_id} {row.nominal_at}: {row.outcome}, {row.jobs} jobs")
        jobs = tx.sql("SELECT count(*) FROM jobs WHERE fire_time <= %(end)s", end=end).scalar_one()
    for schedule in made:
        expected = set(_expected(schedule, end))
        wrong += [f"{schedule.id} {at}: no row" for at in sorted(expected - found[schedule.id])]
        wrong += [f"{schedule.id} {at}: is no nominal time" for at in sorted(found[schedule.id] - expected)]
    if jobs != len(late):
        wrong.append(f"{jobs} jobs for {len(late)} rows")
    return Account(firings=len(late), kills=kills, wrong=wrong, late=sorted(late))


def _expected(schedule: Schedule, end: datetime) -> Iterator[datetime]:
    """Reckoned by itself, not by the code that fires."""
    anchor = datetime.fromisoformat(schedule.document["anchor"])
    at = anchor + timedelta(seconds=schedule.document["every"])
    while at <= end:
        yield at
        at += timedelta(seconds=schedule.document["every"])


@click.command()
@click.option("--minutes", default=3.0, show_default=True, help="How long they race and are killed.")
@click.option("--schedules", "count", default=1000, show_default=True, help="Of every second to every minute.")
@click.option("--seed", default=None, type=int, help="Repeats the kills of an earlier run.")
def main(minutes: float, count: int, seed: int | None) -> None:
    """Race three schedulers over one database and kill them at random; account for every nominal time."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"{count} schedules, {minutes:g} minutes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name, embedded_servers(Path(name), durable=False) as urls:
        settings = from_env(urls.env)
        upgrade(settings.direct_url)
        database = Database(settings)
        found = race(
            database, urls.env, count=count, seconds=minutes * 60, chance=random.Random(seed), folder=Path(name)
        )
        database.close()
    print(f"{found.firings:,} firings, {found.kills} kills, {len(found.wrong)} wrong")
    print(f"late: p50 {found.at(0.5):.3f} s, p99 {found.at(0.99):.3f} s, longest {found.late[-1]:.3f} s")
    print(f"      mean {statistics.fmean(found.late):.3f} s")
    for line in found.wrong[:20]:
        print(f"  {line}")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main(prog_name="python -m tests.faults.schedulers")
