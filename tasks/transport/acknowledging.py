"""Acknowledgements on Redis: what the fetch has booked already is not booked again, and those of a turn go together."""

import time
from threading import get_ident
from typing import Any

from kombu.transport import redis, virtual

LATE_SECONDS = 0.01  # an acknowledgement that comes this long after the last were sent is sent at once


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types; it makes the object itself
    """kombu's, on its own keys.

    In the thread of the event loop acknowledgements are collected until the loop waits again; those of other threads,
    of consumers without an event loop, and of work that takes longer than LATE_SECONDS, are sent at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.booked: set[str] = set()
        self._collected: list[str] = []
        self._sent_at = 0.0

    def append(self, message: Any, delivery_tag: str) -> None:
        if delivery_tag in self.booked:
            self.booked.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if self._may_wait():
            self._collected.append(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)
            self._sent_at = time.monotonic()

    def send_collected(self) -> None:
        """Send the acknowledgements that have been collected, all in one round trip."""
        if not self._collected:
            return
        tags = list(self._collected)
        with self.channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            pipe.zrem(self.unacked_index_key, *tags)
            pipe.hdel(self.unacked_key, *tags)
            pipe.execute()
        del self._collected[: len(tags)]
        self._sent_at = time.monotonic()

    def restore_unacked(self, client: Any = None) -> None:
        self.send_collected()
        super().restore_unacked(client)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        self.send_collected()
        super().restore_unacked_once(stderr)

    def _may_wait(self) -> bool:
        channel = self.channel
        if not channel.active_queues or channel.connection is None:
            return False  # stopped, or stopping: there may be no next turn
        if channel.connection.cycle.loop_thread != get_ident():
            return False
        return time.monotonic() - self._sent_at < LATE_SECONDS
