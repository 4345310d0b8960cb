"""Sweeps out objects that nobody needs any more. Any number of sweepers may run."""

import logging
import threading

from storage import removals
from storage.database import Database
from storage.errors import ObjectStoreUnavailable
from storage.objects.blocking import Blocking

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
AGAIN_SECONDS = 60.0  # after the object store did not answer


def sweep(database: Database, objects: Blocking, stop: threading.Event) -> None:
    """Sweep until `stop` is set. Raises DatabaseUnavailable: call it again."""
    while not stop.wait(INTERVAL_SECONDS):
        remove_objects(database, objects, stop)


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
