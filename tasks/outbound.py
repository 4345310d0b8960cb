"""Requests to others: to public addresses and what the operator has opened, bounded in time, size and redirects."""

import asyncio
import os
import re
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from storage.telemetry import traces
from tasks.addresses import Rules
from tasks.errors import OutboundFailed, OutboundRefused
from tasks.outbound_connections import Connections
from tasks.outbound_http import begin, finish
from tasks.outbound_model import Answer, Asked, FileBody, Head, Receive, Timeouts, Write
from tasks.outbound_names import Resolver, resolver_for
from tasks.outbound_request import Request, redirected, request_for

__all__ = [
    "Answer",
    "Asked",
    "FileBody",
    "Head",
    "Outbound",
    "Receive",
    "Resolver",
    "Timeouts",
    "Waiting",
    "Write",
    "media_type",
    "resolver_for",
    "retry_after",
]

UNTYPED = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")  # RFC 6838, section 4.2

CANCEL_SECONDS = 5.0  # how long a caller whose exchange is canceled waits until nothing of it runs any more


class Outbound:
    """Exchanges a request for an answer; bound to the event loop that first uses it.

    `tls` says whose certificates are trusted (default: the system's authorities).
    """

    def __init__(self, rules: Rules, *, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._connections = Connections(rules=rules, resolver=resolver or resolver_for(()), tls=tls)

    async def exchange(self, asked: Asked, receive: Receive, *, most_bytes: int) -> Answer:
        """Send, give the answer's head to `receive`, and its body, unpacked, to what that returns.

        Raises OutboundRefused, OutboundTooLarge, OutboundFailed, OSError for a FileBody that cannot be read, and what
        `receive` and what it returns raise.
        """
        with traces.span(asked.method, kind="client") as span:
            answer = await self._exchange(_joining(asked, span), receive, span, most_bytes=most_bytes)
            span.set(http__response__status_code=answer.status)
        return answer

    async def _exchange(self, asked: Asked, receive: Receive, span: traces.Told, *, most_bytes: int) -> Answer:
        request = request_for(asked)
        target = request.target
        span.rename(f"{asked.method} {target.host}")
        # Neither path nor query is told: they may bear secrets.
        span.set(http__request__method=asked.method, server__address=target.host, server__port=target.port)
        try:
            async with asyncio.timeout(asked.timeouts.total) as limit:
                return await self._follow(request, asked, receive, most_bytes)
        except TimeoutError as exc:
            if not limit.expired():
                raise  # the receiver's own
            words = f"the exchange with {request.target.host} took longer than {asked.timeouts.total:g} s"
            raise OutboundFailed("timed_out", words) from exc

    async def close(self) -> None:
        """Close idle connections."""
        await self._connections.close()

    async def _follow(self, request: Request, asked: Asked, receive: Receive, most_bytes: int) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for left in range(asked.redirects, -1, -1):
            line = await self._connections.take(request.target, asked.timeouts.connect, whose=asked.whose)
            try:
                begun = await begin(line.connection, request, asked.timeouts)
                following = redirected(request, begun.head) if asked.redirects else None
                if following is None:
                    size = await finish(begun, receive, most_bytes)
                    head, seconds = begun.head, loop.time() - began
                    return Answer(status=head.status, headers=head.headers, url=head.url, seconds=seconds, bytes=size)
            finally:
                # A body that came with HEAD all the same would be taken for the answer to whoever calls next.
                await self._connections.give_back(line, once=request.method == "HEAD")
            if left == 0:
                break
            request = following
        words = f"{request.target.host} redirects once more, after {asked.redirects} redirects"
        raise OutboundRefused("too_many_redirects", words)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    loop: asyncio.AbstractEventLoop
    outbound: Outbound
    thread: threading.Thread


class Waiting:
    """Outbound for threads that do not run an event loop: all share one loop, in one thread of its own.

    The thread starts with the first exchange, and anew in a forked child. `nameservers` ("address:port") look names up,
    or the system where there are none.
    """

    def __init__(self, rules: Rules, *, nameservers: Sequence[str] = (), tls: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._nameservers = tuple(nameservers)
        self._tls = tls
        self._lock = threading.Lock()
        self._running: _Running | None = None
        os.register_at_fork(after_in_child=self._forked)

    def exchange(
        self,
        asked: Asked,
        receive: Receive,
        *,
        most_bytes: int,
        meanwhile: Callable[[], None] | None = None,
        every_seconds: float = 5.0,
    ) -> Answer:
        """Exchange, and call `meanwhile` in this thread again and again until it is done.

        What `meanwhile` raises, or a signal does, ends the exchange: when this returns, `receive` runs no more. Raises
        what Outbound.exchange raises.
        """
        running = self._started()
        exchange = _Exchange(running, asked, receive, most_bytes)
        try:
            while not exchange.is_over(None if meanwhile is None else every_seconds):
                if meanwhile is not None:
                    meanwhile()
        except BaseException:
            exchange.cancel()  # a time limit or Ctrl-C broke the wait: take the work back too
            raise
        return exchange.outcome.result()

    def close(self) -> None:
        """End what is under way, close the connections and stop the thread; a later exchange starts a new one."""
        with self._lock:
            running, self._running = self._running, None
        if running is None:
            return
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()

    def _started(self) -> _Running:
        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                outbound = Outbound(self._rules, resolver=resolver_for(self._nameservers), tls=self._tls)
                thread = threading.Thread(target=_run, args=(loop, outbound), name="outbound", daemon=True)
                self._running = _Running(loop=loop, outbound=outbound, thread=thread)
                thread.start()
            return self._running

    def _forked(self) -> None:
        """In a child: the thread is not there, and another thread may have held the lock."""
        self._lock = threading.Lock()
        self._running = None


class _Exchange:
    """One exchange on the loop, as the thread sees it that waits for it."""

    def __init__(self, running: _Running, asked: Asked, receive: Receive, most_bytes: int) -> None:
        self.outcome: futures.Future[Answer] = futures.Future()
        self._loop = running.loop
        self._task: asyncio.Task[Answer] | None = None
        self._loop.call_soon_threadsafe(self._begin, running.outbound, asked, receive, most_bytes)

    def is_over(self, seconds: float | None) -> bool:
        return bool(futures.wait([self.outcome], timeout=seconds).done)

    def cancel(self) -> None:
        """Stop it, and wait until it has stopped."""
        self._loop.call_soon_threadsafe(self._cancel)
        futures.wait([self.outcome], timeout=CANCEL_SECONDS)

    def _begin(self, outbound: Outbound, asked: Asked, receive: Receive, most_bytes: int) -> None:
        self._task = self._loop.create_task(outbound.exchange(asked, receive, most_bytes=most_bytes))
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        assert self._task is not None, "call_soon keeps the order"
        self._task.cancel()

    def _end(self, task: asyncio.Task[Answer]) -> None:
        if task.cancelled():
            self.outcome.set_exception(OutboundFailed("connection_lost", "the exchange was stopped"))
        elif exc := task.exception():
            self.outcome.set_exception(exc)
        else:
            self.outcome.set_result(task.result())


def _joining(asked: Asked, span: traces.Told) -> Asked:
    """The request with the header by which whoever is asked joins the trace, if the operator wants that."""
    ours = traces.outgoing() if span.is_recording else {}
    return replace(asked, headers={**ours, **asked.headers}) if ours else asked


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After as seconds (RFC 9110, section 10.2.3): a number, or a date, which the server's own Date tells."""
    wish = headers.get("retry-after", "").strip()
    if wish.isascii() and wish.isdigit():
        return float(wish[:9])
    try:
        now = parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (parsedate_to_datetime(wish) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def media_type(content_type: str) -> str:
    """What a Content-Type calls it, without its parameters; application/octet-stream where that is no media type."""
    named = content_type.partition(";")[0].strip().lower()
    return named if _MEDIA_TYPE.fullmatch(named) else UNTYPED


def _run(loop: asyncio.AbstractEventLoop, outbound: Outbound) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_end(outbound))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _end(outbound: Outbound) -> None:
    """Stop every exchange, and close what they leave."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
    await outbound.close()
