"""Takes steps back from workers that say nothing any more, and ends jobs whose deadline has passed.

Any number of reapers may run: each loss is fenced.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from storage import losses, runnable, stops
from storage.database import Database, Tx
from storage.errors import DatabaseUnavailable, LeaseLost, NotStorable, RowBusy
from storage.model import Claim, JobId, PublicError, TenantId
from storage.telemetry.metrics import STEPS_REAPED

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
BATCH = 100

LEASE_EXPIRED = PublicError(
    code="lease_expired", message="the worker stopped renewing its lease: it died, hung or was cut off"
)


def reap(database: Database, lease_seconds: float, stop: threading.Event) -> None:
    """Reap until `stop` is set.

    While the database was away no worker could renew: after that leases have another third, in which every worker that
    lives renews, before they count as run out.
    """
    mercy_until = 0.0
    while not stop.wait(INTERVAL_SECONDS):
        try:
            expire_once(database)
            if time.monotonic() > mercy_until:
                reap_once(database)
        except DatabaseUnavailable as exc:
            log.warning("reap.interrupted reason=%s", exc)
            mercy_until = time.monotonic() + lease_seconds / 3 + 2 * INTERVAL_SECONDS


def expire_once(database: Database) -> int:
    """End up to BATCH jobs whose deadline has passed; returns how many were looked at."""
    with database.platform_read() as tx:
        overdue = stops.overdue(tx, limit=BATCH)
    for tenant_id, job_id in overdue:
        _one_by_one(database, tenant_id, job_id, partial(stops.expire, job_id=job_id))
    return len(overdue)


def reap_once(database: Database) -> int:
    """Give back, or fail, up to BATCH steps whose lease ran out; returns how many were looked at."""
    with database.platform_read() as tx:
        expired = runnable.expired_leases(tx, limit=BATCH)
    for claim in expired:
        _take_back(database, claim)
    return len(expired)


def _take_back(database: Database, claim: Claim) -> None:
    lose = partial(losses.lose, claim=claim, error=LEASE_EXPIRED, only_if_expired=True)
    if _one_by_one(database, claim.tenant_id, claim.job_id, lose):
        STEPS_REAPED.add()
        ids = (claim.tenant_id, claim.job_id, claim.step_id, claim.kind, claim.attempt)
        log.warning("reap.lease_expired tenant=%s job=%s step=%s kind=%s attempt=%s", *ids)


def _one_by_one(database: Database, tenant_id: TenantId, job_id: JobId, act: Callable[[Tx], bool]) -> bool:
    """Do it in a transaction of its own: a job whose row somebody holds must not keep the others waiting.

    Raises DatabaseUnavailable: after that the reaper must not go on as if nothing had been.
    """
    try:
        with database.begin(tenant_id) as tx:
            tx.sql("SET LOCAL lock_timeout = '1s'")
            return act(tx)
    except (RowBusy, LeaseLost, NotStorable) as exc:  # nor must one that cannot be written
        log.warning("reap.put_off tenant=%s job=%s reason=%s", tenant_id, job_id, exc)
        return False
