"""Sweeps out objects that nobody needs any more. Any number of sweepers may run."""

import logging
import threading

from storage import removals, renditions
from storage.database import Database
from storage.errors import ObjectStoreUnavailable
from storage.objects.blocking import Blocking

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BATCH = 100  # renditions whose rows are locked at the same time: whoever wants to make one of them waits
AGAIN_SECONDS = 60.0  # after the object store did not answer


def sweep(database: Database, objects: Blocking, stop: threading.Event) -> None:
    """Sweep until `stop` is set. Raises DatabaseUnavailable: call it again."""
    while not stop.wait(INTERVAL_SECONDS):
        remove_objects(database, objects, stop)
        remove_renditions(database, objects, stop)


def remove_objects(database: Database, objects: Blocking, stop: threading.Event | None = None) -> int:
    """Delete the objects of all removals that are due; returns how many removals were done."""
    done = 0
    while not (stop and stop.is_set()):
        with database.platform() as tx:
            removal = removals.take_next(tx)
            if removal is None:
                return done
            if removal.is_due:
                try:
                    _delete(objects, removal.place)
                except ObjectStoreUnavailable as exc:
                    log.warning("sweep.objects_left place=%s reason=%s", removal.place, exc)
                    removals.put_off(tx, removal, seconds=AGAIN_SECONDS)
                    continue
            removals.done(tx, removal)
            done += 1
    return done


def remove_renditions(database: Database, objects: Blocking, stop: threading.Event | None = None) -> int:
    """Delete all renditions that were given up; returns how many have gone."""
    done = 0
    while not (stop and stop.is_set()):
        with database.platform() as tx:
            batch = renditions.remove(tx, objects.delete, limit=BATCH)
        done += batch
        if batch < BATCH:
            break
    return done


def _delete(objects: Blocking, place: str) -> None:
    if place.endswith("/"):
        objects.delete_prefix(place)
    else:
        objects.delete([place])
