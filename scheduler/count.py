"""Keeps the numbers of the queues cheap to read: folds the journal of changes into the counters.

It sees when there is work, and so has tables analyzed that grow with it. Any number of these loops may run: one folds
at a time, and the numbers are right however far behind it is.
"""

import logging
import threading
import time

from storage import journal, planning, processes, scaling, workers
from storage.database import Database

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BATCH = 20_000  # changes in one transaction
VACUUM_SECONDS = 15.0  # at most so often,
VACUUM_CHANGES = 5_000  # after so many changes
GROWN_SECONDS = 2.0  # how often, while there is work, it looks for tables that have grown
OLD_SECONDS = 60.0  # how often it looks for what is old


def count(database: Database, stop: threading.Event) -> None:
    """Fold until `stop` is set. Raises DatabaseUnavailable: call it again."""
    folded, vacuumed, analyzed, tidied = 0, time.monotonic(), float("-inf"), float("-inf")
    while not stop.wait(INTERVAL_SECONDS):
        found = fold_all(database, stop)
        folded += found
        if found and time.monotonic() - analyzed > GROWN_SECONDS:
            analyze_grown(database)
            analyzed = time.monotonic()
        if folded >= VACUUM_CHANGES and time.monotonic() - vacuumed > VACUUM_SECONDS:
            journal.vacuum(database)
            folded, vacuumed = 0, time.monotonic()
        if time.monotonic() - tidied > OLD_SECONDS:
            forget_old(database)
            tidied = time.monotonic()


def fold_all(database: Database, stop: threading.Event | None = None) -> int:
    """Fold, batch by batch, what there is; returns how many changes."""
    folded = 0
    while not (stop and stop.is_set()):
        with database.platform() as tx:
            # Losing a fold in a crash of the database loses nothing: the journal's rows are back as well.
            tx.sql("SET LOCAL synchronous_commit = off")
            batch = journal.fold(tx, limit=BATCH)
        folded += batch
        if batch < BATCH:
            break
    return folded


def analyze_grown(database: Database) -> None:
    """Have the plans of statements made anew for tables that have grown much."""
    if names := planning.analyze_grown(database):
        log.info("count.analyzed tables=%s", ",".join(names))


def forget_old(database: Database) -> None:
    """Delete numbers, workers and decisions that nobody asks about any more."""
    with database.platform() as tx:
        journal.forget_old(tx)
        dead = workers.forget_dead(tx)
        processes.forget_dead(tx)
        scaling.forget_old(tx)
    if dead:
        log.info("count.workers_forgotten workers=%s", dead)
