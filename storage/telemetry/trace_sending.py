"""Ended spans on their way out: a bounded queue, and a thread that sends what is in it. Nobody ever waits for it."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

MOST = 2048  # spans that wait; of more the newest are dropped
BATCH = 512  # spans in one request
CLOSE_SECONDS = 0.9  # for what still waits when the process stops
TELL_SECONDS = 60.0  # between two lines about spans that were lost


@dataclass(kw_only=True, slots=True)
class _State:
    """What is under way in this process: in a forked child it begins anew."""

    sender: SpanExporter | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: deque[ReadableSpan] = field(default_factory=deque)
    under_way: int = 0  # being sent now
    thread: threading.Thread | None = None
    closing: bool = False
    lost: int = 0
    told: int = 0  # of the lost ones
    next_told: float = 0.0


class Sending(SpanProcessor):
    """Takes spans as they end. The thread starts with the first of them, and anew in a forked child.

    `connect` makes what sends a batch: at once, since what that imports must not be half imported when another thread
    forks, and anew in a child, since connections do not live through a fork. A first span waits `gather_seconds` for
    others to be sent with: a request costs as much as a few dozen of them.
    """

    def __init__(self, connect: Callable[[], SpanExporter], *, gather_seconds: float) -> None:
        self._connect = connect
        self._gather_seconds = gather_seconds
        self._state = _State(sender=connect())
        os.register_at_fork(after_in_child=self._forked)

    @property
    def lost(self) -> int:
        """How many spans of this process were dropped, or could not be sent."""
        return self._state.lost

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        state = self._state
        with state.changed:
            if state.closing or len(state.waiting) >= MOST:
                state.lost += 1
                return
            state.waiting.append(span)
            if state.thread is None:
                self._start(state)
            elif len(state.waiting) in (1, BATCH):
                state.changed.notify_all()

    def shutdown(self) -> None:
        """Send what still waits, for CLOSE_SECONDS at most; what ends later is dropped."""
        state = self._state
        with state.changed:
            state.closing = True
            state.changed.notify_all()
        if state.thread is not None:
            state.thread.join(CLOSE_SECONDS)
        with state.changed:
            state.lost += len(state.waiting) + state.under_way
            state.waiting.clear()
            state.under_way = 0
        _tell(state, at_once=True)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all that has ended was sent, or lost; returns whether it was in time."""
        state = self._state
        with state.changed:
            return state.changed.wait_for(lambda: not state.waiting and not state.under_way, timeout_millis / 1000)

    def _start(self, state: _State) -> None:
        thread = threading.Thread(target=self._keep, args=(state,), name="traces", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends: the work that is told of goes on
            state.waiting.clear()
            state.lost += 1
        else:
            state.thread = thread

    def _keep(self, state: _State) -> None:
        while batch := _next(state, self._gather_seconds):
            try:
                state.sender = state.sender or self._connect()
                is_sent = state.sender.export(batch) is SpanExportResult.SUCCESS
            except Exception:  # the edge of the loop: without it no span would ever be sent again
                log.exception("traces.crashed")
                is_sent = False
            with state.changed:
                if not is_sent:
                    state.lost += state.under_way
                state.under_way = 0
                state.changed.notify_all()
            _tell(state, at_once=False)

    def _forked(self) -> None:
        """In a child: the thread is not there, and what waited is its parent's to send."""
        self._state = _State()


def _next(state: _State, gather_seconds: float) -> list[ReadableSpan]:
    """What is to be sent now; nothing when all is sent and no more will come."""
    with state.changed:
        state.changed.wait_for(lambda: state.waiting or state.closing)
        state.changed.wait_for(lambda: len(state.waiting) >= BATCH or state.closing, gather_seconds)
        batch = [state.waiting.popleft() for _ in range(min(BATCH, len(state.waiting)))]
        state.under_way = len(batch)
    return batch


def _tell(state: _State, *, at_once: bool) -> None:
    if state.lost > state.told and (at_once or time.monotonic() >= state.next_told):
        log.warning("traces.lost spans=%s since_start=%s", state.lost - state.told, state.lost)
        state.told, state.next_told = state.lost, time.monotonic() + TELL_SECONDS


def quieten(logger: logging.Logger) -> None:
    """Let an exporter say why it fails once in TELL_SECONDS: it tries again and again, and says so each time."""
    next_at = 0.0

    def is_due(record: logging.LogRecord) -> bool:
        nonlocal next_at
        if record.levelno < logging.ERROR or time.monotonic() < next_at:
            return False
        next_at = time.monotonic() + TELL_SECONDS
        return True

    logger.addFilter(is_due)
