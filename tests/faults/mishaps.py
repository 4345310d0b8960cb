"""The faults that the soak chooses from: each happens, lasts a while, and ends."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from signal import SIGINT, SIGKILL

import psutil
import redis

from deploy.local.processes import ROOT
from tests.faults.stack import LEASE_SECONDS, Stack
from tests.faults.worker import stopped
from tests.waiting import until

WORKERS = ("worker-default", "worker-calls", "worker-images")
Mishap = Callable[[Stack, random.Random], None]


def child_killed(stack: Stack, chance: random.Random) -> None:
    stack.kill_child(chance.choice(("worker-default", "worker-images")))


def worker_killed(stack: Stack, chance: random.Random) -> None:
    stack.kill(chance.choice(WORKERS))


def worker_told_to_stop(stack: Stack, chance: random.Random) -> None:
    psutil.Process(stack.pid(chance.choice(WORKERS))).terminate()


def worker_paused_past_its_lease(stack: Stack, chance: random.Random) -> None:
    with stopped(stack.family(chance.choice(WORKERS))):
        time.sleep(LEASE_SECONDS * chance.uniform(1.2, 2.0))


def scheduler_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("scheduler")


def api_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("api")


def broker_wiped(stack: Stack, _chance: random.Random) -> None:
    def wiped() -> bool:
        try:
            stack.broker.wipe()
        except (OSError, redis.ConnectionError):  # it is still on its way back from the mishap before
            return False
        return True

    until(wiped, seconds=60)


def broker_killed(stack: Stack, _chance: random.Random) -> None:
    psutil.Process(stack.pid(stack.broker.part)).kill()


def broker_cut_off(stack: Stack, chance: random.Random) -> None:
    stack.proxy.cut()
    time.sleep(chance.uniform(1, 8))


def broker_stalled(stack: Stack, chance: random.Random) -> None:
    stack.proxy.stall()
    time.sleep(chance.uniform(1, 8))


def broker_half_open(stack: Stack, _chance: random.Random) -> None:
    stack.proxy.half_open()


def database_killed(stack: Stack, chance: random.Random) -> None:
    psutil.Process(stack.pid("postgres")).send_signal(chance.choice((SIGKILL, SIGINT)))


def store_refuses(stack: Stack, chance: random.Random) -> None:
    stack.store.mode = "refuses"
    time.sleep(chance.uniform(1, 8))


def store_slow(stack: Stack, chance: random.Random) -> None:
    stack.store.mode = "slow"
    time.sleep(chance.uniform(1, 8))


def store_truncates(stack: Stack, chance: random.Random) -> None:
    stack.store.mode = "truncates"
    time.sleep(chance.uniform(1, 8))


def queue_paused(stack: Stack, chance: random.Random) -> None:
    queue = chance.choice(("default", "calls", "images"))
    for what, seconds in (("pause", chance.uniform(1, 5)), ("resume", 0.0)):
        while stack.http.post(f"/v1/queues/{queue}/{what}").status_code != 200:
            time.sleep(0.2)
        time.sleep(seconds)


def messages_doubled(stack: Stack, _chance: random.Random) -> None:
    jobs = [job for (job,) in stack.rows("SELECT id FROM jobs ORDER BY created_at DESC LIMIT 100")]
    scheduler = psutil.Process(stack.pid("scheduler"))
    again = [sys.executable, "-m", "tests.faults.again", *jobs]
    subprocess.run(again, env=scheduler.environ(), cwd=ROOT, check=False, timeout=60, capture_output=True)


ALL: Mapping[str, Mishap] = {
    mishap.__name__.replace("_", " "): mishap
    for mishap in (
        child_killed,
        worker_killed,
        worker_told_to_stop,
        worker_paused_past_its_lease,
        scheduler_killed,
        api_killed,
        broker_wiped,
        broker_killed,
        broker_cut_off,
        broker_stalled,
        broker_half_open,
        database_killed,
        store_refuses,
        store_slow,
        store_truncates,
        queue_paused,
        messages_doubled,
    )
}


def lost_attempts(stack: Stack) -> int:
    [(count,)] = stack.rows("SELECT count(*) FROM attempts WHERE outcome IN ('lost', 'returned')")
    return int(count)


def slowest(stack: Stack) -> list[str]:
    """The events of the job that took longest from its acceptance to its end, with seconds since the first."""
    rows = stack.rows(
        "WITH slow AS (SELECT tenant_id, id, created_at FROM jobs ORDER BY finished_at - created_at DESC LIMIT 1)"
        " SELECT extract(epoch FROM at - created_at)::float, type, data FROM events e"
        " JOIN slow ON slow.tenant_id = e.tenant_id AND slow.id = e.job_id ORDER BY seq"
    )
    return [f"{seconds:7.1f} s  {kind}  {data}" for seconds, kind, data in rows]


def unfinished(stack: Stack) -> list[str]:
    """What has not ended: queue, state, how many, how many of them have their hint out, how long the oldest waits."""
    rows = stack.rows(
        "SELECT queue, state, count(*), count(published_at), max(clock_timestamp() - run_at)::text FROM steps"
        " WHERE finished_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return ["  ".join(map(str, row)) for row in rows]
