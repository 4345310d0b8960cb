"""News of jobs and of webhooks for those who wait: one connection per process LISTENs, however many clients watch."""

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

import psycopg

from storage.batch_ids import BatchId
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.events import EVENTS_CHANNEL
from storage.model import JobId, TenantId
from storage.webhook_model import WEBHOOKS_CHANNEL

log = logging.getLogger(__name__)


class Waiter(Protocol):
    """Who waits for news: an event, or an open stream."""

    def set(self) -> None: ...


class Hub:
    """Wakes whoever waits for news of a job, or of what a tenant's webhooks are sent.

    `start` and `subscribe` belong to one event loop.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
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
                    connection.execute(f"LISTEN {WEBHOOKS_CHANNEL}")
                    failures = 0
                    self._tell(None)  # whatever was said while we were away
                    self._listen(connection)
            except (DatabaseUnavailable, psycopg.Error) as exc:
                failures += 1
                log.warning("hub.interrupted failures=%s reason=%s", failures, str(exc).strip())
                self._stop.wait(min(0.25 * 2**failures, 5.0))

    def _listen(self, connection: "psycopg.Connection[object]") -> None:
        with selectors.DefaultSelector() as readable:
            readable.register(connection.fileno(), selectors.EVENT_READ)
            readable.register(self._ear, selectors.EVENT_READ)
            while not self._stop.is_set():
                for notice in connection.notifies(timeout=0):
                    self._tell(notice.payload)
                readable.select()

    def _tell(self, whose: str | None) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the event loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake, whose)

    def _wake(self, whose: str | None) -> None:
        if whose is None:
            woken = [waiter for waiters in self._waiting.values() for waiter in waiters]
        else:
            woken = list(self._waiting.get(whose, ()))
        for waiter in woken:
            waiter.set()
