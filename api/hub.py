"""News of jobs, webhooks and keys for those who wait: one connection per process LISTENs, whoever watches."""

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import ParamSpec, Protocol

import psycopg

from api.known_keys import KnownKeys
from storage.batch_ids import BatchId
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.events import EVENTS_CHANNEL
from storage.model import JobId, TenantId
from storage.tenants import KEYS_CHANNEL
from storage.webhook_model import WEBHOOKS_CHANNEL

MANY = 20  # news at once: then more are let come, for each time that we look costs those who work beside us
GATHER_SECONDS = 0.005
P = ParamSpec("P")
log = logging.getLogger(__name__)


class Waiter(Protocol):
    """Who waits for news: an event, or an open stream."""

    def set(self) -> None: ...


class Hub:
    """Wakes whoever waits for news of a job, or of what a tenant's webhooks are sent.

    `start` and `subscribe` belong to one event loop.
    """

    def __init__(self, database: Database, keys: KnownKeys) -> None:
        self._database = database
        self._keys = keys
        self._waiting: dict[str, set[Waiter]] = defaultdict(set)
        self._stop = threading.Event()
        self._bell, self._ear = socket.socketpair()  # ends the thread's wait at once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._keep_listening, name="hub", daemon=True)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._bell.send(b".")
        self._thread.join(timeout=2)
        self._bell.close()
        self._ear.close()

    @contextlib.contextmanager
    def subscribe(self, whose: JobId | BatchId | TenantId) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job, or the tenant's deliveries, have news, or the batch has ended; clear
        it before you look.

        Subscribe, then look, then wait.
        """
        woken = asyncio.Event()
        with self.telling(whose, woken):
            yield woken

    @contextlib.contextmanager
    def telling(self, whose: JobId | BatchId | TenantId, waiter: Waiter) -> Iterator[None]:
        """Have the waiter set whenever there is such news."""
        self._waiting[whose].add(waiter)
        try:
            yield
        finally:
            self._waiting[whose].discard(waiter)
            if not self._waiting[whose]:
                del self._waiting[whose]

    def _keep_listening(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                with self._database.listen(EVENTS_CHANNEL) as connection:
                    connection.execute(f"LISTEN {WEBHOOKS_CHANNEL}; LISTEN {KEYS_CHANNEL}")
                    failures = 0
                    self._in_loop(self._keys.listening)
                    self._in_loop(self._wake, None)  # whatever was said while we were away, or came with that answer
                    try:
                        self._listen(connection)
                    finally:
                        self._in_loop(self._keys.deaf)
            except (DatabaseUnavailable, psycopg.Error) as exc:
                failures += 1
                log.warning("hub.interrupted failures=%s reason=%s", failures, str(exc).strip())
                self._stop.wait(min(0.25 * 2**failures, 5.0))

    def _listen(self, connection: "psycopg.Connection[object]") -> None:
        with selectors.DefaultSelector() as readable:
            readable.register(connection.fileno(), selectors.EVENT_READ)
            readable.register(self._ear, selectors.EVENT_READ)
            while not self._stop.is_set():
                heard = list(_news(connection))
                if any(channel == KEYS_CHANNEL for channel, _ in heard):
                    self._in_loop(self._keys.forget)
                # Whoever subscribes after this line looks at rows that say already what is told here.
                if theirs := {whose for _, whose in heard if whose in self._waiting}:
                    self._in_loop(self._wake, theirs)
                if len(heard) > MANY:
                    self._stop.wait(GATHER_SECONDS)
                readable.select()

    def _in_loop(self, act: Callable[P, None], *args: P.args, **_: P.kwargs) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the event loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(act, *args)

    def _wake(self, whose: Collection[str] | None) -> None:
        """Wake those who wait for news of one of these, or everybody."""
        woken = self._waiting if whose is None else whose
        for waiter in [waiter for one in woken for waiter in self._waiting.get(one, ())]:
            waiter.set()


def _news(connection: "psycopg.Connection[object]") -> Iterator[tuple[str, str]]:
    """Channel and payload of what has come, read from libpq: `connection.notifies` takes twice as long."""
    connection.pgconn.consume_input()
    while (notice := connection.pgconn.notifies()) is not None:
        yield notice.relname.decode(), notice.extra.decode()
