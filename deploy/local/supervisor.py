"""Starts parts in the order of what they need, restarts the ones that die, stops them all in time.

One thread tends one part and sleeps in wait() while it runs: no polling, no signal of ours, so a test or a script can
hold a stack as well as the terminal does.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from deploy.local import logs
from deploy.local.child import Child
from deploy.local.errors import CannotPrepare, PartFailed
from deploy.local.part import Layer, Part

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How patient the supervisor is, in seconds; a good run sets the delay back to the first."""

    first_delay: float = 0.5
    longest_delay: float = 10.0
    good_run: float = 30.0
    deaths_allowed: int = 5
    probe_every: float = 0.03
    trim_every: float = 60.0


class Supervisor:
    """Holds the processes of a stack.

    `say` is given one line per event. `changed` is given name → pid whenever a process came or went, one call at a
    time. `marks` is added to the environment of every process.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        *,
        say: Say,
        changed: Callable[[Mapping[str, int]], None],
        marks: Mapping[str, str],
        pace: Pace | None = None,
    ) -> None:
        self._parts = tuple(parts)
        self._say = say
        self._tell = changed
        self._marks = marks
        self._pace = pace or Pace()
        # Guards all below; notified whenever one of them changes.
        self._change = threading.Condition()
        self._children: dict[str, Child] = {}
        self._ready: set[str] = set()
        self._stopping = False
        self._failure: PartFailed | None = None
        self._threads: list[threading.Thread] = []
        self._began = time.monotonic()

    def start(self) -> None:
        """Begin to start everything; returns at once."""
        self._began = time.monotonic()
        for part in self._parts:
            logs.begin(part.log)
        keepers = [threading.Thread(target=self._tend, args=(part,), name=part.name) for part in self._parts]
        self._threads = [*keepers, threading.Thread(target=self._trim_logs, name="trim-logs")]
        for thread in self._threads:
            thread.start()

    def wait_ready(self) -> None:
        """Wait until every part is ready. Raises PartFailed when one cannot be."""
        names = {part.name for part in self._parts}
        with self._change:
            self._change.wait_for(lambda: self._failure or names <= self._ready)
            if self._failure:
                raise self._failure

    def wait_failed(self) -> None:
        """Wait until a part is given up, which may be for ever. Raises PartFailed."""
        with self._change:
            self._change.wait_for(lambda: self._failure)
            if self._failure:
                raise self._failure

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Stop everything, our processes before the servers; returns when nothing is left.

        Each has its part's grace, then it is killed; all are killed at once when `hurry` is set.
        """
        hurry = hurry or threading.Event()
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._stop_layers({Layer.PROCESS, Layer.STEP}, hurry)
        self._stop_layers({Layer.SERVER}, hurry)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _stop_layers(self, layers: Collection[Layer], hurry: threading.Event) -> None:
        with self._change:
            leaving = [child for child in self._children.values() if child.part.layer in layers]
        asked = time.monotonic()
        for child in leaving:
            child.ask_to_stop()
        killed: set[int] = set()
        while living := [child for child in leaving if self._lives(child)]:
            waited = time.monotonic() - asked
            for child in living:
                if child.pid not in killed and (hurry.is_set() or waited >= child.part.grace_seconds):
                    killed.add(child.pid)
                    child.kill()
            with self._change:
                # In slices: a signal handler that sets `hurry` cannot notify.
                self._change.wait_for(lambda: not any(map(self._lives, living)), timeout=0.1)

    def _lives(self, child: Child) -> bool:
        return self._children.get(child.part.name) is child

    def _tend(self, part: Part) -> None:
        try:
            self._wait_until(lambda: self._ready.issuperset(part.after))
            if part.prepare is not None and not self._stopping:
                part.prepare()
            if part.layer is Layer.STEP:
                self._run_once(part)
            else:
                self._keep_running(part)
        except (CannotPrepare, PartFailed) as exc:
            self._fail(exc if isinstance(exc, PartFailed) else PartFailed(f"{part.name} cannot start: {exc}"))
        except Exception as exc:  # noqa: BLE001 - the edge of the thread: a mistake of ours must stop the stack, not hang it
            self._fail(PartFailed(f"{part.name}: {type(exc).__name__}: {exc}"))

    def _run_once(self, part: Part) -> None:
        child = self._spawn(part)
        if child is None:
            return
        ended = self._end_of(child)
        if child.status == 0:
            self._now_ready(child)
        elif not self._stopping:
            raise PartFailed(_block(part, f"failed ({ended})"))

    def _keep_running(self, part: Part) -> None:
        early_deaths, delay = 0, self._pace.first_delay
        while (child := self._spawn(part)) is not None:
            try:
                became_ready = self._probe(child)
            except BaseException:
                child.kill()
                self._end_of(child)
                raise
            ended = self._end_of(child)
            if self._stopping:
                return
            if child.status == os.EX_CONFIG:  # another try would only say it again
                raise PartFailed(_block(part, "cannot start with these settings"))
            ran = time.monotonic() - child.began
            early_deaths = 0 if became_ready else early_deaths + 1
            if early_deaths >= self._pace.deaths_allowed:
                raise PartFailed(_block(part, f"died {early_deaths} times before it was ready, at last with {ended}"))
            if ran >= self._pace.good_run:
                delay = self._pace.first_delay
            self._say(f"{part.name}: died ({ended}) after {ran:.1f} s; next try in {delay:g} s; log: {part.log}")
            self._wait_until(lambda: False, timeout=delay)
            delay = min(delay * 2, self._pace.longest_delay)

    def _probe(self, child: Child) -> bool:
        """Ask until the child is ready; True if it came to that before it ended."""
        part = child.part
        while not child.ended and not self._stopping:
            if part.ready(child.log_start):
                self._now_ready(child)
                return True
            if time.monotonic() - child.began > part.ready_seconds:
                raise PartFailed(_block(part, f"was not ready within {part.ready_seconds:g} s"))
            self._wait_until(lambda: False, timeout=self._pace.probe_every)
        return False

    def _now_ready(self, child: Child) -> None:
        name = child.part.name
        if name in self._ready:
            self._say(f"{name}: ready again after {time.monotonic() - child.began:.1f} s")
        else:
            word = "done" if child.part.layer is Layer.STEP else "ready"
            self._say(f"{name}: {word} at {time.monotonic() - self._began:.1f} s")
        with self._change:  # after the line, so that it comes before what others say on being ready
            self._ready.add(name)
            self._change.notify_all()

    def _spawn(self, part: Part) -> Child | None:
        with self._change:  # so that nothing starts behind the back of stop()
            if self._stopping:
                return None
            child = Child(part, self._marks)
            self._children[part.name] = child
            self._tell_changed()
            return child

    def _end_of(self, child: Child) -> str:
        ended = child.wait()
        with self._change:
            del self._children[child.part.name]
            self._tell_changed()
            self._change.notify_all()
        return ended

    def _tell_changed(self) -> None:
        self._tell({name: child.pid for name, child in self._children.items() if child.part.layer is not Layer.STEP})

    def _wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        with self._change:
            self._change.wait_for(lambda: self._stopping or condition(), timeout=timeout)

    def _fail(self, failure: PartFailed) -> None:
        with self._change:
            self._failure = self._failure or failure
            self._change.notify_all()

    def _trim_logs(self) -> None:
        while not self._stopping:
            self._wait_until(lambda: False, timeout=self._pace.trim_every)
            for folder in {part.log.parent for part in self._parts}:
                for log in folder.glob("*.log"):  # those of the workers as well, which are the scaler's
                    logs.trim(log)


def _block(part: Part, what: str) -> str:
    lines = logs.tail(part.log) or ["(nothing)"]
    return "\n".join([f"{part.name} {what}.", f"Its log, {part.log}, ends with:", *(f"  | {line}" for line in lines)])
