"""The kind platform.retention: deletes, batch by batch, what was kept for long enough, of all tenants."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from storage import audit, batches, deliveries, firings, idempotency, renditions, retention, unique, uploads, webhooks
from storage.database import PlatformTx
from storage.model import Json
from tasks.params import Params
from tasks.work import Work

BATCH = 100
UNIQUE_SECONDS = 30 * 86_400.0  # the longest time for which a unique key can be asked
WORK_SECONDS = 450.0  # well within the kind's time limit
FIRING_SECONDS = 30 * 86_400.0
DELIVERY_SECONDS = 30 * 86_400.0
LISTENER_SECONDS = 3600.0  # after it went away
AUDIT_SECONDS = 365 * 86_400.0
BATCH_SECONDS = 7 * 86_400.0  # after its end, if none of its jobs is left


def run(work: Work, params: Params) -> Json:
    """Delete it; returns how many of each. Stops between two batches if the job is canceled, or when it is time.

    What is left is deleted by the next job: see deploy/schedules.toml.
    """
    kept_seconds = work.process.settings.kept_seconds
    rendition_seconds = work.process.settings.rendition_days * 86_400
    end = time.monotonic() + WORK_SECONDS
    asks: Mapping[str, Callable[[PlatformTx], int]] = {
        "idempotency_keys": partial(idempotency.forget_old, limit=BATCH),
        "unique_keys": partial(unique.forget_old, older_than_seconds=UNIQUE_SECONDS, limit=BATCH),
        "firings": partial(firings.forget_old, older_than_seconds=FIRING_SECONDS, limit=BATCH),
        "deliveries": partial(deliveries.forget_old, older_than_seconds=DELIVERY_SECONDS, limit=BATCH),
        "listeners": partial(webhooks.forget_listeners, older_than_seconds=LISTENER_SECONDS, limit=BATCH),
        "actions": partial(audit.forget_old, older_than_seconds=AUDIT_SECONDS, limit=BATCH),
        "jobs": partial(retention.delete_old, kept_seconds=kept_seconds, limit=BATCH, reached={}),
        "batches": partial(batches.forget_old, older_than_seconds=BATCH_SECONDS, limit=BATCH),
        "uploads": partial(uploads.forget_old, limit=BATCH),
        "renditions": partial(renditions.forget_old, older_than_seconds=rendition_seconds, limit=BATCH),
    }
    return {"deleted": {what: _all(work, ask, end) for what, ask in asks.items()}}


def _all(work: Work, ask: Callable[[PlatformTx], int], end: float) -> int:
    deleted = 0
    while True:
        with work.process.database.platform() as tx:
            batch = ask(tx)
        deleted += batch
        if batch < BATCH or time.monotonic() > end:
            return deleted
        work.checkpoint()
