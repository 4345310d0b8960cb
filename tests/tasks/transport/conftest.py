"""kombu's transport and ours, with acknowledgements and without, on a real server."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub, set_event_loop

from tasks.transport import schemes

SECONDS = 15
TURN_SECONDS = 0.02


@dataclass(kw_only=True, slots=True)
class Party:
    """A connection of its own, which consumes within an event loop, as a Celery worker does, or without one."""

    connection: Any  # kombu's stated types lack what is Redis' own
    hub: Hub | None
    got: list[Any] = field(default_factory=list)

    def turn(self) -> None:
        """Let what has come be delivered; returns also when nothing has come."""
        if self.hub is not None:
            self.hub.run_once()
            return
        try:
            self.connection.drain_events(timeout=TURN_SECONDS)
        except TimeoutError:
            return

    def consume(self, *queues: Queue, prefetch: int = 0, no_ack: bool = False) -> Any:
        channel = self.connection.channel()
        if prefetch:
            channel.basic_qos(0, prefetch, False)
        consumer = Consumer(channel, queues, no_ack=no_ack, on_message=self.got.append)
        consumer.consume()
        return consumer

    def until(self, count: int) -> list[Any]:
        """The first `count` messages' payloads."""
        began = time.monotonic()
        while len(self.got) < count:
            assert time.monotonic() - began < SECONDS, f"{len(self.got)} of {count} came"
            self.turn()  # waits by itself
        return [message.payload for message in self.got[:count]]

    def settle(self, turns: int = 5) -> None:
        for _ in range(turns):
            self.turn()


Make = Callable[..., Party]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Under which scheme, whether messages are acknowledged, and whether the parties have an event loop."""

    scheme: str
    acks: bool = True
    loop: bool = True


KOMBUS = Variant(scheme="redis")
OURS = Variant(scheme="redisbatch")
VARIANTS = (KOMBUS, OURS, replace(OURS, acks=False), replace(OURS, loop=False))


@pytest.fixture(params=VARIANTS, ids=repr)
def variant(request: pytest.FixtureRequest) -> Variant:
    schemes.register()
    found = request.param
    assert isinstance(found, Variant)
    return found


@pytest.fixture
def party(broker_url: str, variant: Variant) -> Iterator[Make]:
    """Makes parties; those without options of their own agree with each other."""
    url = broker_url.replace("redis://", f"{variant.scheme}://", 1)
    with ExitStack() as open_ones:

        def make(*, loop: bool = variant.loop, **options: Any) -> Party:
            whole = {"ack_emulation": variant.acks, "priority_steps": [0, 3, 6, 9], **options}
            if loop:
                whole.setdefault("polling_interval", 0.1)  # how long a close may wait for what is under way
            connection = open_ones.enter_context(Connection(url, transport_options=whole))
            connection.connect()
            hub = None
            if loop:
                hub = Hub()
                set_event_loop(hub)
                connection.register_with_event_loop(hub)
                hub.call_repeatedly(TURN_SECONDS, lambda: None)  # no turn lasts longer
                open_ones.callback(set_event_loop, None)
                open_ones.callback(hub.close)
            return Party(connection=connection, hub=hub)

        yield make


@pytest.fixture
def server(broker_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(broker_url, decode_responses=True) as client:
        yield client
