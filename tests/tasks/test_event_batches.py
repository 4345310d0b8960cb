"""What a real worker tells Flower of its tasks: all of it, in few messages."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery.events import get_exchange
from kombu import Connection, Consumer, Queue

from storage.database import Database
from storage.model import Job, JobState, TenantId
from tests.documents import put_in
from tests.tasks.working import Relaying, Worker
from tests.waiting import until

JOBS = 30
TOLD = ("task-received", "task-started", "task-succeeded")


@contextmanager
def heard(broker_url: str) -> Iterator[list[list[dict[str, Any]]]]:
    """The messages about tasks that a worker sends while the block runs; one may bring many events."""
    messages: list[list[dict[str, Any]]] = []
    over = threading.Event()

    def take(body: Any, _: Any) -> None:
        if isinstance(body, list):
            messages.append(body)
        elif body["type"].startswith("task-"):
            messages.append([body])

    with Connection(broker_url) as connection:
        queue = Queue("test.heard", get_exchange(connection), routing_key="#", auto_delete=True, durable=False)
        with Consumer(connection, queue, callbacks=[take], accept=["json"], no_ack=True):

            def listen() -> None:
                while not over.is_set():
                    with suppress(socket.timeout):
                        connection.drain_events(timeout=0.2)

            listening = threading.Thread(target=listen)
            listening.start()
            try:
                yield messages
            finally:
                over.set()
                listening.join(10)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_events_of_tasks_come_all_and_together(
    worker: Worker,
    database: Database,
    tenant: TenantId,
    read: Callable[[Job], Job],
    relaying: Relaying,
    pool: str,
) -> None:
    with heard(relaying.broker_url) as messages, worker("-P", pool, "-c", "2"):
        jobs = [put_in(database, tenant) for _ in range(JOBS)]
        until(lambda: all(read(job).state is JobState.SUCCEEDED for job in jobs))

        def told() -> bool:
            kinds = [event["type"] for events in messages for event in events]
            return all(0 < kinds.count(kind) == kinds.count(TOLD[0]) for kind in TOLD)

        until(told)
    hints = sum(event["type"] == TOLD[0] for events in messages for event in events)
    assert len(messages) < hints, "there are three events of each"
