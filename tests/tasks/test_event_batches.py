"""What a worker tells Flower of its tasks: all of it, in few messages, and soon."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.events import get_exchange
from celery.events.dispatcher import EventDispatcher
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub

from storage.database import Database
from storage.model import Job, JobState, TenantId
from tasks.event_batches import GATHER_SECONDS, EventBatches
from tests.documents import put_in
from tests.tasks.working import Relaying, Worker
from tests.waiting import until

Event = dict[str, Any]
LOAD = {"steps": {"say": {"kind": "echo", "sleep_seconds": 0.01}}}
LATE = {"steps": {"say": {"kind": "echo", "sleep_seconds": 1.5}}}


@contextmanager
def heard(broker_url: str) -> Iterator[list[list[Event]]]:
    """The messages about tasks that are sent while the block runs; one may bring many events."""
    messages: list[list[Event]] = []
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


def told(messages: list[list[Event]], kind: str) -> list[str]:
    """The tasks of which this was told."""
    return sorted(event["uuid"] for events in messages for event in events if event["type"] == kind)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_a_worker_does_is_told_to_the_last_task_before_it_stops(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], relaying: Relaying, pool: str
) -> None:
    with heard(relaying.broker_url) as messages:
        with worker("-P", pool, "-c", "1") as process:
            jobs = [put_in(database, tenant, LOAD) for _ in range(20)]
            until(lambda: all(read(job).state is JobState.SUCCEEDED for job in jobs))
            last = put_in(database, tenant, LATE)
            until(lambda: read(last).state is JobState.RUNNING)
            until(lambda: len(told(messages, "task-started")) == len(told(messages, "task-succeeded")) + 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        until(lambda: told(messages, "task-started") == told(messages, "task-succeeded"))
    assert read(last).state is JobState.SUCCEEDED
    assert told(messages, "task-received") == told(messages, "task-succeeded")


@contextmanager
def dispatching(broker_url: str) -> Iterator[tuple[Hub, EventDispatcher, EventBatches, SimpleNamespace]]:
    """Celery's own loop and dispatcher as a worker has them, and the step that was started on them."""
    hub = Hub()
    app = Celery("told", broker=broker_url, set_as_current=False)
    with closing(app), closing(hub), app.connection_for_write() as connection:
        events = EventDispatcher(
            connection, app=app, hostname="w1", buffer_group=["task"], on_send_buffered=lambda: None
        )
        step, consumer = EventBatches(None), SimpleNamespace(hub=hub, event_dispatcher=events)
        step.start(consumer)
        yield hub, events, step, consumer


def turn(hub: Hub, seconds: float) -> None:
    loop, end = hub.create_loop(), time.monotonic() + seconds
    while time.monotonic() < end:
        next(loop)


def test_many_events_are_one_message_and_come_soon_although_nothing_else_happens(broker_url: str) -> None:
    with heard(broker_url) as messages, dispatching(broker_url) as (hub, events, _, _):
        for number in range(100):
            events.send("task-started", uuid=f"{number:03}")
        turn(hub, GATHER_SECONDS * 2)
        until(lambda: messages)
        assert [len(found) for found in messages] == [100]
        events.send("task-succeeded", uuid="100")
        turn(hub, GATHER_SECONDS * 2)
        until(lambda: told(messages, "task-succeeded") == ["100"])


@pytest.mark.parametrize("end", ["stop", "shutdown"])
def test_what_is_gathered_is_sent_when_the_consumer_ends(broker_url: str, end: str) -> None:
    with heard(broker_url) as messages, dispatching(broker_url) as (_, events, step, consumer):
        events.send("task-succeeded", uuid="1")
        getattr(step, end)(consumer)
        until(lambda: told(messages, "task-succeeded") == ["1"])


def test_a_worker_without_events_is_left_alone() -> None:
    consumer = SimpleNamespace(hub=object(), event_dispatcher=None)
    step = EventBatches(None)
    step.start(consumer)
    step.stop(consumer)
    step.shutdown(consumer)
