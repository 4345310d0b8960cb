"""Delivers webhooks: any number of such loops may run, each with its own share of what is due.

No lane, which is one place that messages go to, waits for another: each has room for a few exchanges at a time, one if
it fails, and they all run in one event loop. What a killed process had under way is due again when its lease is over.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import psycopg

from scheduler.sending import Outgoing, Said, Sender
from storage import delivering, webhooks
from storage.database import Database
from storage.delivering import UnderWay
from storage.errors import DatabaseUnavailable, StorageError
from storage.model import TenantId
from storage.sealing import Keyring
from storage.webhook_model import WEBHOOKS_CHANNEL, Claimed

log = logging.getLogger(__name__)

T = TypeVar("T")

EXCHANGES = 200  # at a time, of one process
LEASE_SECONDS = 60.0  # well over what an exchange may take
GRACE_SECONDS = 5.0  # for what is under way when the process is to stop
LOOK_SECONDS = 30.0  # how often it looks without being told
STRAY_SECONDS = 60.0
STRAYS = 1000
MOST_OF_TENANT = 50  # exchanges at a time: as many, but no more than a half of what is free
MAX_LANES = 10_000  # of which something is remembered
THREADS = 3  # that ask the database
TICK_SECONDS = 0.25  # how soon it notices that it is to stop
LEAST_SECONDS = 0.05  # between two looks that find something due for which there is no room


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivering:
    """What the loop needs beside the database: links in messages begin with `public_url`."""

    keyring: Keyring | None
    public_url: str
    outbound: Callable[[], Outgoing]
    lease_seconds: float = LEASE_SECONDS


def deliver(database: Database, how: Delivering, stop: threading.Event) -> None:
    """Deliver until told to stop. Raises DatabaseUnavailable."""
    if how.keyring is None:
        log.warning("deliver.off reason=SECRET_KEY is not set, so that nothing can be signed")
        stop.wait()
        return
    asyncio.run(_deliver(database, how.keyring, how, stop))


async def _deliver(database: Database, keyring: Keyring, how: Delivering, stop: threading.Event) -> None:
    outbound = how.outbound()
    woken, ended = asyncio.Event(), threading.Event()
    with ThreadPoolExecutor(THREADS + 1, thread_name_prefix="deliver") as executor:
        loop = asyncio.get_running_loop()
        wake = partial(loop.call_soon_threadsafe, woken.set)
        listening = loop.run_in_executor(executor, _listen, database, wake, ended)
        sender = Sender(database, keyring, outbound, executor, how.public_url)
        deliverer = _Deliverer(database, sender, executor, woken, how.lease_seconds)
        try:
            while not stop.is_set() and not listening.done():
                await deliverer.look()
                await deliverer.wait(stop)
        finally:
            ended.set()
            await deliverer.finish()
            await outbound.close()
            await asyncio.gather(listening, return_exceptions=True)
        listening.result()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rest:
    """How long a lane wants to be left alone, by the monotonic clock; its endpoint was last changed `as_of`."""

    until: float
    as_of: datetime | None


class _Deliverer:
    """What is under way, and what is known of lanes: which have failed last, and which want to be left alone."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        executor: ThreadPoolExecutor,
        woken: asyncio.Event,
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._sender = sender
        self._executor = executor
        self._woken = woken
        self._lease_seconds = lease_seconds
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._narrow: dict[str, None] = {}  # of jobs' `notify`; an endpoint's row says it of itself
        self._resting: dict[str, _Rest] = {}
        self._next_look = 0.0
        self._next_strays = 0.0

    async def look(self) -> None:
        """Start whatever is due and has room, and find out when to look again."""
        self._woken.clear()
        if time.monotonic() >= self._next_strays:
            await self._blocking(self._cancel_strays)
        while (room := EXCHANGES - len(self._under_way)) > 0:
            taken = await self._blocking(partial(self._take, self._room(), _half(room)))
            for claimed in taken:
                task = asyncio.create_task(self._try(claimed))
                self._under_way[task] = claimed
                task.add_done_callback(self._done)
            if not taken:
                break
        seconds = LOOK_SECONDS
        if room > 0 and (due := await self._blocking(partial(self._seconds_to_next, self._room()))) is not None:
            seconds = min(max(due, LEAST_SECONDS), LOOK_SECONDS)
        self._next_look = min([time.monotonic() + seconds, *(rest.until for rest in self._resting.values())])

    async def wait(self, stop: threading.Event) -> None:
        """Return when there may be something to do, or we are to stop."""
        while not stop.is_set() and (left := self._next_look - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._woken.wait(), min(left, TICK_SECONDS))
            except TimeoutError:
                continue
            return

    async def finish(self) -> None:
        """Let what is under way end, for a while; the rest is given back."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)
        back = [self._under_way[task] for task in late]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for claimed in back:
            try:
                await self._blocking(partial(self._give_back, claimed))
            except StorageError as exc:
                log.warning("deliver.not_given_back delivery=%s reason=%s", claimed.delivery.id, exc)

    async def _try(self, claimed: Claimed) -> None:
        try:
            said = await self._sender.send(claimed)
        except StorageError as exc:
            log.warning("deliver.interrupted delivery=%s reason=%s", claimed.delivery.id, exc)
        except Exception:  # the edge: one message must not stop the others, nor be tried for ever
            log.exception("deliver.broken delivery=%s", claimed.delivery.id)
            await self._give_up(claimed)
        else:
            if said is not None:
                self._learn(claimed, said)

    async def _give_up(self, claimed: Claimed) -> None:
        try:
            await self._sender.fail(claimed)
        except StorageError as exc:
            log.warning("deliver.interrupted delivery=%s reason=%s", claimed.delivery.id, exc)

    def _learn(self, claimed: Claimed, said: Said) -> None:
        lane = claimed.delivery.lane
        if said.wish_seconds > 0:
            as_of = None if claimed.endpoint is None else claimed.endpoint.updated_at
            self._resting[lane] = _Rest(until=time.monotonic() + said.wish_seconds, as_of=as_of)
            _forget(self._resting)
        if said.is_delivered:
            self._narrow.pop(lane, None)
        elif claimed.endpoint is None:
            self._narrow[lane] = None
            _forget(self._narrow)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._woken.set()

    def _room(self) -> UnderWay:
        now = time.monotonic()
        self._resting = {lane: rest for lane, rest in self._resting.items() if rest.until > now}
        claims = self._under_way.values()
        return UnderWay(
            lanes=Counter(one.delivery.lane for one in claims),
            tenants=Counter[TenantId](one.delivery.tenant_id for one in claims),
            narrow=tuple(self._narrow),
            resting={lane: rest.as_of for lane, rest in self._resting.items()},
            per_tenant=min(MOST_OF_TENANT, _half(EXCHANGES - len(claims))),
        )

    def _take(self, under_way: UnderWay, room: int) -> list[Claimed]:
        with self._database.platform() as tx:
            return delivering.take_due(tx, under_way, limit=room, lease_seconds=self._lease_seconds)

    def _seconds_to_next(self, under_way: UnderWay) -> float | None:
        with self._database.platform_read() as tx:
            return delivering.seconds_to_next(tx, under_way)

    def _cancel_strays(self) -> None:
        """Cancel what waits for endpoints that are disabled: there was too much, or an event met its disabling."""
        with self._database.platform() as tx:
            canceled = [
                webhooks.cancel_pending(tx.of(tenant), endpoint, limit=STRAYS)
                for tenant, endpoint in delivering.stray(tx)
            ]
        self._next_strays = time.monotonic() + (0.0 if STRAYS in canceled else STRAY_SECONDS)

    def _give_back(self, claimed: Claimed) -> None:
        with self._database.read(claimed.delivery.tenant_id) as tx:
            delivering.give_back(tx, claimed)

    def _blocking(self, act: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, act)


def _half(room: int) -> int:
    """What may be filled of the room that is left: tenants who take all they can leave a place for the next one."""
    return max(1, room // 2)


def _forget(lanes: dict[str, Any]) -> None:
    """Forget the oldest: one tenant can have thousands of lanes, and each look at the rows takes all of them along."""
    while len(lanes) > MAX_LANES:
        del lanes[next(iter(lanes))]


def _listen(database: Database, wake: Callable[[], object], ended: threading.Event) -> None:
    """Wake the loop at every announcement. Raises DatabaseUnavailable."""
    try:
        with database.listen(WEBHOOKS_CHANNEL) as connection:
            wake()  # what was announced before
            while not ended.is_set():
                if list(connection.notifies(timeout=TICK_SECONDS, stop_after=1)):
                    wake()
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailable(str(exc).strip()) from exc
