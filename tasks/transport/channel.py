"""A channel on Redis that fetches several messages with one script call; in everything else kombu's own."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty
from typing import Any

from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from kombu.utils.scheduling import round_robin_cycle

from tasks.transport import fetch
from tasks.transport.acknowledging import QoS
from tasks.transport.publishing import PublishBatch, leave_token

FETCH_LIMIT = 50  # messages per script call, if the QoS has room for them


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request under way: its commands, the lists and their queues as its answers number them, and the most asked."""

    names: Sequence[str]
    lists: Sequence[str]
    queues: Sequence[str]
    limit: int


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Where one message is to be fetched that is not to be booked, it does what kombu's does."""

    QoS = QoS
    fetch_limit = FETCH_LIMIT
    from_transport_options = (*redis.Channel.from_transport_options, "fetch_limit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._reused: Any = None
        self._asked: Asked | None = None
        self._share = 1  # how many are asked for: doubled while all come, so that few that come are shared by many
        self._fetched: deque[tuple[str, str, bytes]] = deque()  # queue, list, message
        self._never_acked: set[str] = set()
        super().__init__(*args, **kwargs)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """One client for all commands, where kombu makes one for each; its pool gives each thread a connection."""
        if client is None:
            client = self._reused = self._reused or self._create_client()
        yield client

    def _disconnect_pools(self) -> None:
        self._reused = None
        super()._disconnect_pools()

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        return PublishBatch(self, max_size)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        batch = kwargs.get("_publish_batch")
        if not self.ack_emulation:
            super()._put(queue, message, **kwargs)
        elif batch is not None:
            batch.tell(self._wake_key(queue))
            super()._put(queue, message, **kwargs)
        else:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(self._q_for_pri(queue, self._get_message_priority(message)), dumps(message))
                for name in self._lists([queue]) if queue in self._expires else ():
                    pipe.pexpire(name, self._expires[queue])
                leave_token(pipe, self._wake_key(queue))
                pipe.execute()

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        (self._never_acked.add if no_ack else self._never_acked.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        if no_ack or not self.ack_emulation:
            return super().basic_get(queue, no_ack=no_ack, **kwargs)
        with self.conn_or_acquire() as client:
            found = client.execute_command(*self._take([queue], booked=[True], limit=1))
            self._maybe_update_queues_expire(client, queue)
        if not found:
            return None
        message = self.Message(loads(bytes_to_str(found[1])), channel=self)
        self.qos.booked.add(message.delivery_tag)
        self.qos.append(message, message.delivery_tag)
        return message

    def _brpop_start(self, timeout: float | None = None) -> None:
        limit = min(self._room(), self._share)
        self._asked = None
        if limit == 1 and not self.ack_emulation:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        commands = [self._take(queues, booked=[self._books(queue) for queue in queues], limit=limit)]
        if self._share == 1:
            seconds = self.brpop_timeout if timeout is None else timeout
            commands.insert(0, fetch.wait_for_token(self._keys(map(self._wake_key, queues)), seconds))
        connection = self._in_poll = self.client.connection
        self._brpop_sent_at = redis.monotonic()  # kombu's health check reads it
        connection.send_packed_command(connection.pack_commands(commands))
        names = [str(command[0]) for command in commands]
        self._asked = Asked(names=names, lists=self._lists(queues), queues=queues, limit=limit)

    def _brpop_read(self, **options: Any) -> bool:
        asked, self._asked = self._asked, None
        if asked is None:
            return self._read_one(**options)
        connection = self.client.connection
        try:
            answers = [self.client.parse_response(connection, name, **options) for name in asked.names]
        except BaseException:
            connection.disconnect()  # or the next request would read an answer of this one
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._fetched.extend(self._named(asked, answers[-1]))
        self._learn(is_all=len(self._fetched) == asked.limit)
        if not self._fetched:
            raise Empty
        self._deliver_fetched()
        return True

    def _read_one(self, **options: Any) -> bool:
        try:
            found = bool(super()._brpop_read(**options))
        except Empty:
            self._learn(is_all=False)
            raise
        self._learn(is_all=True)
        return found

    def _learn(self, *, is_all: bool) -> None:
        self._share = min(2 * self._share, int(self.fetch_limit)) if is_all else 1

    def _named(self, asked: Asked, found: Sequence[Any]) -> Iterator[tuple[str, str, bytes]]:
        for number, message in zip(found[::2], found[1::2], strict=True):
            yield asked.queues[number % len(asked.queues)], asked.lists[number], message

    def _deliver_fetched(self) -> None:
        """Deliver while the consumers want it; what they do not want any more goes back to where it came from."""
        try:
            while self._fetched and not self._closing and self.qos.can_consume():
                queue, _, message = self._fetched[0]
                if queue not in self.connection._callbacks:
                    break
                self._fetched.popleft()
                self._queue_cycle.rotate(queue)
                payload = loads(bytes_to_str(message))
                if self._books(queue):
                    self.qos.booked.add(payload["properties"]["delivery_tag"])
                self.connection._deliver(payload, queue)
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if not self._fetched:
            return
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            while self._fetched:
                queue, key, message = self._fetched.pop()
                pipe.rpush(key, message)
                if self._books(queue):
                    tag = loads(bytes_to_str(message))["properties"]["delivery_tag"]
                    pipe.zrem(self.unacked_index_key, tag)
                    pipe.hdel(self.unacked_key, tag)
            pipe.execute()

    def close(self) -> None:
        self._give_back()
        super().close()
        self._disconnect_pools()  # what unacknowledged messages were given back with

    def _room(self) -> int:
        """How many messages may be fetched at once, at least 1.

        A consumer that runs without an event loop and sets no bound may count on getting one message at a time.
        """
        room = self.qos.can_consume_max_estimate()
        if room is None:
            return int(self.fetch_limit) if self.connection.cycle.loop_thread else 1
        return int(max(1, min(self.fetch_limit, room)))

    def _take(self, queues: Sequence[str], *, booked: Sequence[bool], limit: int) -> fetch.Command:
        return fetch.take(
            unacked=self._keys([self.unacked_key, self.unacked_index_key]),
            wakes=self._keys(map(self._wake_key, queues)),
            lists=self._keys(self._lists(queues)),
            booked=booked,
            limit=limit,
            rotate=type(self._queue_cycle) is round_robin_cycle,
            tokens=self.ack_emulation,
        )

    def _books(self, queue: str) -> bool:
        return bool(self.ack_emulation) and queue not in self._never_acked

    def _lists(self, queues: Sequence[str]) -> list[str]:
        return [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]

    def _wake_key(self, queue: str) -> str:
        return f"{queue}{self.sep}wake"

    def _keys(self, names: Any) -> list[str]:
        return [f"{self.global_keyprefix}{name}" for name in names]


class SentinelChannel(Channel, redis.SentinelChannel):  # type: ignore[misc]
    """The same, with the master that sentinels name."""

    from_transport_options = (*redis.SentinelChannel.from_transport_options, "fetch_limit")
