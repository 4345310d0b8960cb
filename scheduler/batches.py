"""Ends batches whose last job has ended, and cancels the jobs of those that were told to end.

Any number of these loops may run: each batch is ended, and told of, once.
"""

import logging
import threading
import time
from contextlib import suppress

from storage import batches, stops
from storage.database import Database
from storage.errors import JobEnded
from storage.model import JobId, TenantId
from tasks.batch_document import batch_summary

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5
ENDS = 100  # batches that are ended in one transaction
CANCELS = 500  # jobs to be canceled that are looked for at a time
CANCELING_SECONDS = 2.0  # spent on cancellations before it is looked again which batches have ended


def batch(database: Database, public_url: str, stop: threading.Event) -> None:
    """Look until `stop` is set; links in messages begin with `public_url`. Raises DatabaseUnavailable."""
    while not stop.wait(INTERVAL_SECONDS):
        cancel_jobs(database, stop)
        finish_all(database, public_url, stop)


def finish_all(database: Database, public_url: str, stop: threading.Event | None = None) -> int:
    """End all batches whose last job has ended, and write what is told of it; returns how many."""
    done = 0
    while not (stop and stop.is_set()):
        with database.platform() as tx:
            ended = batches.finish(tx, limit=ENDS)
            for tenant_id, one in ended:
                batches.tell(tx.of(tenant_id), one, batch_summary(one, public_url).model_dump(mode="json"))
        for tenant_id, one in ended:
            states = " ".join(f"{state}={count}" for state, count in sorted(one.states.items()))
            log.info("batch.finished tenant=%s batch=%s jobs=%s %s", tenant_id, one.id, one.accepted, states)
        done += len(ended)
        if len(ended) < ENDS:
            break
    return done


def cancel_jobs(database: Database, stop: threading.Event | None = None, *, seconds: float = CANCELING_SECONDS) -> int:
    """Cancel jobs of batches that were told to end, for so many seconds; returns how many."""
    done, end = 0, time.monotonic() + seconds
    while not (stop and stop.is_set()) and time.monotonic() < end:
        with database.platform_read() as tx:
            found = batches.to_cancel(tx, limit=CANCELS)
        for tenant_id, job_id in found:
            _cancel(database, tenant_id, job_id)
            done += 1
            if time.monotonic() > end:
                return done
        if len(found) < CANCELS:
            break
    return done


def _cancel(database: Database, tenant_id: TenantId, job_id: JobId) -> None:
    """Each in a transaction of its own, whose rows are locked in one order; one that a crash undoes is done again."""
    with suppress(JobEnded), database.begin(tenant_id) as tx:
        tx.sql("SET LOCAL synchronous_commit = off")
        stops.cancel(tx, job_id)
