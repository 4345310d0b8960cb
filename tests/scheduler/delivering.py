"""The loop that delivers, run as its process runs it, with real requests to loopback."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from scheduler.deliver import Delivering, deliver
from storage import deliveries, webhooks
from storage.database import Database
from storage.model import Job, TenantId
from storage.sealing import Keyring
from storage.webhook_model import Delivery, Endpoint
from tasks.addresses import Rules
from tasks.outbound import Outbound
from tests.documents import put_in
from tests.scheduler.receiver import Receiver
from tests.storage.telling import RING, ended, endpoint_in
from tests.waiting import until

LOOPBACK = Rules.parse("127.0.0.0/8")


@contextmanager
def delivering(
    database: Database, *, keyring: Keyring | None = RING, rules: Rules = LOOPBACK
) -> Iterator[threading.Event]:
    """Deliver while the block runs; it ends well, whatever is under way, within its grace."""
    stop = threading.Event()
    how = Delivering(keyring=keyring, public_url="https://jobs.example.com", outbound=lambda: Outbound(rules))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(deliver, database, how, stop)
        try:
            yield stop
        finally:
            stop.set()
        running.result(15)


def endpoint_at(database: Database, tenant: TenantId, receiver: Receiver, path: str = "/hook") -> Endpoint:
    return endpoint_in(database, tenant, url=receiver.url + path)


def secret_of(endpoint: Endpoint) -> str:
    return webhooks.opened(RING, endpoint, now=datetime.now(UTC)).secrets[0].secret


def only(database: Database, tenant: TenantId, endpoint: Endpoint) -> Delivery:
    with database.read(tenant) as tx:
        [found] = deliveries.page(tx, endpoint.id, state=None, before=None, limit=10)
    return found


def tried(database: Database, tenant: TenantId, endpoint: Endpoint, times: int) -> Delivery:
    """The endpoint's only delivery, once it has been tried so often."""

    def look() -> Delivery | None:
        found = only(database, tenant, endpoint)
        return found if len(found.log) >= times else None

    return until(look)


def seconds_left(delivery: Delivery) -> float:
    """From the last try's end to the next try."""
    assert delivery.next_at is not None
    return (delivery.next_at - delivery.log[-1].at).total_seconds()


def end_job(database: Database, tenant: TenantId) -> Job:
    job = put_in(database, tenant)
    ended(database, tenant, job)
    return job
