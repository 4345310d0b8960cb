"""Real workers come and go at random under load, by the actuator: no attempt at a step is lost.

More by hand: `RESIZES=200 SEED=7 pytest tests/scheduler/test_resizes.py`.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler import notes, pools
from scheduler.pools import Pool
from scheduler.processes import Processes
from storage import workers
from storage.database import Database
from storage.model import TenantId
from tasks.grouped import OVERTAKEN
from tests.documents import put_in
from tests.tasks.working import Relaying
from tests.tasks.working import env as env
from tests.tasks.working import relaying as relaying
from tests.waiting import until

RESIZES = int(os.environ.get("RESIZES", "8"))
SEED = int(os.environ.get("SEED", "4"))
MOST = 4
ALWAYS_WAITING = 30  # steps, so that no worker is idle for want of work


@pytest.fixture
def actuator(env: dict[str, str], tmp_path: Path, relaying: Relaying) -> Iterator[Processes]:
    made = Processes(tmp_path / "workers", tmp_path / "log", {**env, "LEASE_SECONDS": "10"})
    made.begin()
    yield made
    made.stop_all(warm_seconds=1, grace_seconds=2)


def busy(database: Database) -> dict[str, int]:
    with database.platform_read() as tx:
        return {worker.replica: worker.running for worker in workers.living(tx)}


def open_steps(database: Database) -> int:
    with database.platform_read() as tx:
        return int(tx.sql("SELECT count(*) FROM steps WHERE finished_at IS NULL").scalar_one())


def outcomes(database: Database) -> Counter[str]:
    """Of attempts, without those of steps that had not begun when another one of their hint turned out to be slow."""
    with database.platform_read() as tx:
        return Counter(
            row.outcome
            for row in tx.sql(
                "SELECT outcome FROM attempts WHERE error->>'code' IS DISTINCT FROM %(overtaken)s",
                overtaken=OVERTAKEN.code,
            )
        )


@pytest.mark.timeout(60 + 6 * RESIZES)
def test_no_attempt_is_lost_however_the_pool_is_resized(
    actuator: Processes, database: Database, tenant: TenantId, tmp_path: Path
) -> None:
    chance, pool, asked = random.Random(SEED), pools.load()["default"], 0
    for size in sizes(chance):
        while open_steps(database) < ALWAYS_WAITING:
            put_in(database, tenant, {"steps": {"say": {"kind": "echo", "sleep_seconds": chance.uniform(0.05, 0.5)}}})
            asked += 1
        until(lambda: not actuator.replicas(pool) or busy(database))  # one has started at least
        actuator.scale(pool, size, busy(database))
        time.sleep(chance.uniform(0.0, 1.0))
    settle(actuator, pool, database)
    assert outcomes(database) == {"succeeded": asked}
    actuator.scale(pool, 0, {})
    until(lambda: not notes.read(tmp_path / "workers"))
    log = (tmp_path / "log" / "worker-default.log").read_text()
    assert "lease.handed_back" not in log, "the grace covers what the kind may take"
    assert "Traceback" not in log


def sizes(chance: random.Random) -> Iterator[int]:
    """Always another size than the one before."""
    size = 0
    for _ in range(RESIZES):
        size = chance.choice([other for other in range(MOST + 1) if other != size])
        yield size


def settle(actuator: Processes, pool: Pool, database: Database) -> None:
    actuator.scale(pool, 2, busy(database))
    until(lambda: open_steps(database) == 0, seconds=60)
