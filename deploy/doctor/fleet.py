"""The processes: workers for every queue, every loop kept by somebody, all of one version."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from deploy.doctor.findings import Finding, ok, warn
from storage import processes, scaling, workers
from storage.database import PlatformTx
from storage.processes import Living
from storage.scaling import PoolStanding
from storage.workers import Worker
from tasks.names import Queue

ABOUT = "processes"
LOOPS = ("relay", "reap", "sweep", "count", "fire", "batch", "deliver")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """All that live and have told so."""

    workers: Sequence[Worker]
    processes: Sequence[Living]
    pools: Sequence[PoolStanding]

    def addresses(self) -> dict[str, str]:
        """Where workers serve their numbers, by name."""
        return {f"the worker {one.name.partition('/')[0]}": one.metrics_url for one in self.workers if one.metrics_url}


def read(tx: PlatformTx) -> Fleet:
    """All of it. Raises DatabaseUnavailable, DatabaseRefused."""
    return Fleet(workers=workers.living(tx), processes=processes.living(tx), pools=scaling.standing(tx))


def check(fleet: Fleet) -> list[Finding]:
    """What is there, and what is missing."""
    return [*_queues(fleet), *_loops(fleet), *_scalers(fleet), *_troubles(fleet), *_versions(fleet)]


def _queues(fleet: Fleet) -> Iterator[Finding]:
    """That one rests without a worker is fine where a pool may give it one; that work waits, the causes say."""
    pools = {pool.name: pool for pool in fleet.pools}
    slots: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for worker in fleet.workers:
        for queue in worker.queues if not worker.stopping else ():
            slots[queue] += worker.slots
            count[queue] += 1
    for queue in Queue:
        pool = pools.get(queue.value)
        if count[queue]:
            noun = "worker" if count[queue] == 1 else "workers"
            room = "1 slot" if slots[queue] == 1 else f"{slots[queue]} slots"
            words = f"The queue '{queue}' has {count[queue]} {noun}, {room}."
            yield ok(ABOUT, words, queue=queue.value, workers=count[queue], slots=slots[queue])
        elif pool is not None and pool.least == 0 and pool.most > 0:
            yield ok(ABOUT, f"The queue '{queue}' rests without a worker: its pool starts one for work.", queue=queue)
        else:
            mend = f"Start one: `celery -A tasks.app worker -Q {queue}`, or the scaler with a pool for it."
            if pool is not None:
                mend = f"The scaler's last word on its pool: {pool.last.reason}. `millrace pools {queue}` says more."
            yield warn(ABOUT, f"No worker serves the queue '{queue}'.", mend, queue=queue.value)


def _loops(fleet: Fleet) -> Iterator[Finding]:
    kept: Counter[str] = Counter()
    for process in fleet.processes:
        loops = process.detail.get("loops")
        kept.update(str(loop) for loop in (loops if isinstance(loops, list) else ()))
    if missing := [loop for loop in LOOPS if not kept[loop]]:
        mend = "Start `python -m scheduler run`, or the commands of that name."
        yield warn(ABOUT, f"No process keeps {_named(missing)}.", mend, missing=list(missing))
    else:
        yield ok(ABOUT, f"Every loop is kept: {', '.join(LOOPS)}.")


def _scalers(fleet: Fleet) -> Iterator[Finding]:
    if not any(process.role in ("scaler", "keda") for process in fleet.processes):
        mend = "Start `python -m scheduler scale` (or `keda`, on Kubernetes), unless you start workers by hand."
        yield warn(ABOUT, "No scaler runs: there are as many workers as there are.", mend)


def _troubles(fleet: Fleet) -> Iterator[Finding]:
    """What the scaler cannot do: files of pools that it does not take, replicas that end as they start."""
    said: dict[str, list[str]] = {}
    for pool in fleet.pools:
        if isinstance(pool.last.inputs, dict) and pool.last.inputs.get("trouble"):
            said.setdefault(str(pool.last.inputs["trouble"]), []).append(pool.name)
    for trouble, names in said.items():
        mend = "Mend what it says; the scaler looks again by itself. `millrace pools` shows what it decides meanwhile."
        yield warn(ABOUT, f"The scaler says of {', '.join(names)}: {trouble}.", mend, pools=list(names))


def _versions(fleet: Fleet) -> Iterator[Finding]:
    ours = version("millrace")
    found = _by_version(fleet)
    if set(found) <= {ours}:
        yield ok(ABOUT, f"All processes that have told it, and this doctor, are version {ours}.")
        return
    words = "; ".join(f"{number}: {', '.join(sorted(set(names)))}" for number, names in sorted(found.items()))
    mend = "Roll the newer one out to all; mixed versions are for minutes. Or run the doctor of that version."
    yield warn(ABOUT, f"Processes have several versions ({words}); this doctor has {ours}.", mend)


def _by_version(fleet: Fleet) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for worker in fleet.workers:
        if worker.version:
            found.setdefault(worker.version, []).append(worker.name.partition("@")[0])
    for process in fleet.processes:
        found.setdefault(process.version, []).append(process.role)
    return found


def _named(loops: Sequence[str]) -> str:
    return f"the loop{'' if len(loops) == 1 else 's'} {', '.join(loops)}"
