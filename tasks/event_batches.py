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
        hub, events = parent.hub, parent.event_dispatcher
        if hub is None or events is None or events.on_send_buffered is None:
            return

        def gathered() -> None:  # in whichever thread has sent one
            if not self._are_due:
                self._are_due = True
                hub.call_soon(hub.call_later, GATHER_SECONDS, flush)  # timers belong to the loop's thread

        def flush() -> None:
            self._are_due = False
            events.flush()  # what cannot be sent it keeps

        events.buffer_limit = MOST
        events.on_send_buffered = gathered

    def stop(self, parent: Any) -> None:
        """Called when the connection is lost: what is gathered then goes with the next one."""
        self.shutdown(parent)

    def shutdown(self, parent: Any) -> None:
        """Called when the last task has ended, before the connection is closed."""
        if parent.event_dispatcher is not None:
            parent.event_dispatcher.flush()
