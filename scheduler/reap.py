"""Takes steps back from workers that say nothing any more, and sweeps out what has served its time.

Any number of reapers may run: each loss is fenced.
"""

import logging
import threading
import time

from storage import idempotency, runnable, steps
from storage.database import Database
from storage.errors import StorageError
from storage.model import Claim, PublicError

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
SWEEP_SECONDS = 60.0
BATCH = 100

LEASE_EXPIRED = PublicError(
    code="worker_lost", message="the worker stopped renewing its lease: it died, hung or was cut off"
)


def reap(database: Database, stop: threading.Event) -> None:
    """Reap until `stop` is set. Raises DatabaseUnavailable: call it again."""
    swept = 0.0
    while not stop.wait(INTERVAL_SECONDS):
        reap_once(database)
        if time.monotonic() - swept > SWEEP_SECONDS:
            sweep(database)
            swept = time.monotonic()


def reap_once(database: Database) -> int:
    """Give back, or fail, up to BATCH steps whose lease ran out; returns how many were looked at."""
    with database.platform_read() as tx:
        expired = runnable.expired_leases(tx, limit=BATCH)
    for claim in expired:
        _take_back(database, claim)
    return len(expired)


def _take_back(database: Database, claim: Claim) -> None:
    try:
        with database.begin(claim.tenant_id) as tx:
            # A job whose row somebody holds must not keep the others waiting: its turn comes again.
            tx.sql("SET LOCAL lock_timeout = '1s'")
            taken = steps.lose(tx, claim, LEASE_EXPIRED, only_if_expired=True)
    except StorageError as exc:
        log.warning("reap.put_off step=%s reason=%s", claim.step_id, exc)
    else:
        if taken:
            log.warning("reap.lease_expired step=%s kind=%s attempt=%s", claim.step_id, claim.kind, claim.attempt)


def sweep(database: Database) -> None:
    """Delete the idempotency keys that nobody may ask for any more, in small batches."""
    while True:
        with database.platform() as tx:
            if idempotency.forget_old(tx, limit=BATCH) < BATCH:
                return
