"""The transports: kombu's for Redis, with and without sentinels, on channels that fetch in batches."""

from threading import get_ident
from typing import Any

from kombu.transport import redis

from tasks.transport.channel import Channel, SentinelChannel


class Poller(redis.MultiChannelPoller):  # type: ignore[misc]  # kombu has no types
    """kombu's, which sends the acknowledgements of a turn before it waits for the next."""

    loop_thread: int | None = None  # whose event loop it serves

    def on_poll_start(self) -> None:
        if self.loop_thread is not None:
            for channel in self._channels:
                if channel.ack_emulation:
                    channel.qos.send_collected()
        super().on_poll_start()


class Transport(redis.Transport):  # type: ignore[misc]
    """For redis:// and rediss://."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        self.cycle.loop_thread = get_ident()
        super().register_with_event_loop(connection, loop)


class SentinelTransport(Transport):
    """For sentinel://."""

    default_port = redis.SentinelTransport.default_port
    Channel = SentinelChannel
