"""Keeps the pods' deletion costs right where KEDA does the scaling: the idle ones go first.

Kubernetes asks not to write them all the time, so they are written while a pool has more pods than its triggers ask
for: then some are about to go.
"""

import logging
import threading
import time
from collections.abc import Iterable

from scheduler import hpa, numbers
from scheduler.errors import ActuatorFailed
from scheduler.folder import Folder
from scheduler.kubernetes import Kubernetes
from scheduler.pools import Pool
from scheduler.triggers import Numbers
from storage import workers
from storage.database import Database
from storage.errors import StorageError

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0


def note_costs(database: Database, pods: Kubernetes, folder: Folder, stop: threading.Event) -> None:
    """Note them until `stop` is set; what cannot be done now is logged and tried again."""
    while not stop.wait(INTERVAL_SECONDS):
        try:
            note_once(database, pods, folder.pools.values())
        except (StorageError, ActuatorFailed) as exc:
            log.warning("costs.put_off reason=%s", exc)
        except Exception:
            log.exception("costs.crashed")  # the edge of the loop: nobody would start it again


def note_once(database: Database, pods: Kubernetes, pools: Iterable[Pool]) -> None:
    """Note them for every pool that is about to lose some. Raises DatabaseUnavailable, ActuatorFailed."""
    wanted = list(pools)
    with database.platform_snapshot() as tx:
        seen = numbers.of_pools(tx, wanted)
        busy = {worker.replica: worker.running for worker in workers.living(tx)}
    for pool in wanted:
        replicas = pods.replicas(pool)
        if replicas and asked(pool, seen[pool.name], replicas) < replicas:
            pods.note_busy(pool, busy)


def asked(pool: Pool, seen: Numbers, replicas: int) -> int:
    """How many replicas the pool's triggers ask for, the highest of them."""
    now = time.time()
    return max(hpa.desired(rule.read(seen, replicas, now), pool.scaled.spec, replicas) for rule in pool.rules)
