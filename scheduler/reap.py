"""Takes steps back from workers that say nothing any more. Any number of reapers may run: each loss is fenced."""

import logging
import threading

from storage import runnable, steps
from storage.database import Database
from storage.model import PublicError

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BATCH = 100

LEASE_EXPIRED = PublicError(
    code="worker_lost", message="the worker stopped renewing its lease: it died, hung or was cut off"
)


def reap(database: Database, stop: threading.Event) -> None:
    """Reap until `stop` is set. Raises DatabaseUnavailable: call it again."""
    while not stop.wait(INTERVAL_SECONDS):
        while reap_once(database) == BATCH:
            pass


def reap_once(database: Database) -> int:
    """Give back, or fail, up to BATCH steps whose lease ran out; returns how many were looked at."""
    with database.platform_read() as tx:
        expired = runnable.expired_leases(tx, limit=BATCH)
    for claim in expired:
        with database.begin(claim.tenant_id) as tx:
            taken = steps.lose(tx, claim, LEASE_EXPIRED, only_if_expired=True)
        if taken:
            log.warning("reap.lease_expired step=%s kind=%s attempt=%s", claim.step_id, claim.kind, claim.attempt)
    return len(expired)
