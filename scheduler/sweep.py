"""Sweeps out what has served its time: ended jobs, objects that nobody needs, keys. Any number of sweepers may run."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from storage import idempotency, removals, retention, unique
from storage.database import Database, PlatformTx
from storage.errors import ObjectStoreUnavailable
from storage.model import JobState
from storage.objects.blocking import Blocking

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
OLD_SECONDS = 60.0  # how often it looks for what is old
BATCH = 100
AGAIN_SECONDS = 60.0  # after the object store did not answer
UNIQUE_SECONDS = 30 * 86_400.0  # the longest time for which a unique key can be asked


def sweep(database: Database, objects: Blocking, kept_seconds: Mapping[JobState, float], stop: threading.Event) -> None:
    """Sweep until `stop` is set. Raises DatabaseUnavailable: call it again."""
    swept = float("-inf")
    while not stop.wait(INTERVAL_SECONDS):
        remove_objects(database, objects, stop)
        if time.monotonic() - swept > OLD_SECONDS:
            sweep_old(database, kept_seconds, stop)
            swept = time.monotonic()


def remove_objects(database: Database, objects: Blocking, stop: threading.Event | None = None) -> int:
    """Delete the objects of all removals that are due; returns how many removals were done."""
    done = 0
    while not (stop and stop.is_set()):
        with database.platform() as tx:
            removal = removals.take_next(tx)
            if removal is None:
                return done
            if removal.outputs_only or not removal.stands:  # an upload whose job was written keeps its file
                try:
                    objects.delete_prefix(removal.prefix)
                except ObjectStoreUnavailable as exc:
                    log.warning("sweep.objects_left prefix=%s reason=%s", removal.prefix, exc)
                    removals.put_off(tx, removal, seconds=AGAIN_SECONDS)
                    continue
            removals.done(tx, removal)
            done += 1
    return done


def sweep_old(database: Database, kept_seconds: Mapping[JobState, float], stop: threading.Event | None = None) -> None:
    """Delete, batch by batch, ended jobs that were kept long enough, and keys that nobody may ask for any more."""
    asks: list[Callable[[PlatformTx], int]] = [
        lambda tx: idempotency.forget_old(tx, limit=BATCH),
        lambda tx: unique.forget_old(tx, older_than_seconds=UNIQUE_SECONDS, limit=BATCH),
        lambda tx: retention.delete_old(tx, kept_seconds, limit=BATCH),
    ]
    for ask in asks:
        while not (stop and stop.is_set()):
            with database.platform() as tx:
                if ask(tx) < BATCH:
                    break
