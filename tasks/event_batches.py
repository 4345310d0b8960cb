"""What Flower is told of a worker's tasks goes out in batches: each message costs the worker, the broker and Flower."""

from typing import Any

from celery import bootsteps

GATHER_SECONDS = 0.1
MOST = 500  # events that are gathered; then they go at once


class EventBatches(bootsteps.StartStopStep):
    """Has Celery's events of tasks wait for others, where it gathers them at all: in a worker with an event loop.

    Celery sends them as soon as its loop comes round, which is once for nearly each. Other events go at once.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, _: Any, **__: Any) -> None:
        self._are_due = False

    def start(self, parent: Any) -> None:
        """Called by Celery with its consumer, once more after each loss of the connection."""
        self._are_due = False
        events = parent.event_dispatcher
        if parent.hub is None or events.on_send_buffered is None:
            return

        def gathered() -> None:  # in whichever thread has sent one
            if not self._are_due:
                self._are_due = True
                parent.hub.call_soon(wait)

        def wait() -> None:  # timers belong to the loop
            parent.hub.call_later(GATHER_SECONDS, parent.hub.call_soon, flush)

        def flush() -> None:
            self._are_due = False
            events.flush()

        events.buffer_limit = MOST
        events.on_send_buffered = gathered
