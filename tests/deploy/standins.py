"""Small programs that stand in for the parts of a platform, and a way to wait for what a supervisor says."""

import queue
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from deploy.local.part import Layer, Part, when_logged
from deploy.local.supervisor import Pace

WAITS = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
while True:
    signal.pause()
"""
DIES = "import sys; print('boom', flush=True); sys.exit(3)"
NEVER_READY = "import signal; print('still loading', flush=True); signal.pause()"

# A program with two children: one in its own group, one that left for another session. Neither heeds SIGTERM.
FAMILY = f"""
import signal, subprocess, sys
child = (sys.executable, '-I', '-S', '-c', {STUBBORN!r})
for new_session in (False, True):
    started = subprocess.Popen(child, stdout=subprocess.PIPE, start_new_session=new_session)
    started.stdout.readline()
    print('child', started.pid, flush=True)
print('ready', flush=True)
signal.pause()
"""

QUICK = Pace(first_delay=0.02, longest_delay=0.1, probe_every=0.01)


def program(home: Path, name: str, code: str, *, layer: Layer = Layer.PROCESS, **fields: Any) -> Part:
    """Describe a Python program as a part that is ready when it has written `ready`."""
    log = home / "log" / f"{name}.log"
    given: dict[str, Any] = {"env": {}, "cwd": home, "ready": when_logged(log, "ready")} | fields
    return Part(name=name, layer=layer, argv=(sys.executable, "-I", "-S", "-c", code), log=log, **given)


class Lines:
    """Holds the lines that a supervisor has said, for a test to wait for."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._coming: queue.SimpleQueue[str] = queue.SimpleQueue()

    def say(self, line: str) -> None:
        self.said.append(line)
        self._coming.put(line)

    def wait_for(self, words: str, timeout: float = 10.0) -> str:
        """Return the next line with these words; those before it are skipped."""
        while True:
            line = self._coming.get(timeout=timeout)
            if words in line:
                return line


class Pids:
    """Holds the process numbers that a supervisor has told, for a test to wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._now: Mapping[str, int] = {}

    def tell(self, now: Mapping[str, int]) -> None:
        with self._changed:
            self._now = dict(now)
            self._changed.notify_all()

    def __getitem__(self, name: str) -> int:
        return self._now[name]

    def wait_until(self, condition: Callable[[Mapping[str, int]], bool], timeout: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self._now), timeout=timeout)


_earlier: set[int] = set()


def take_stock() -> None:
    """Remember which processes this one has started so far: the servers that other tests use."""
    _earlier.clear()
    _earlier.update(child.pid for child in psutil.Process().children())


def children() -> list[psutil.Process]:
    """The processes that the test has started, with all below them."""
    own = [child for child in psutil.Process().children() if child.pid not in _earlier]
    return [*own, *(below for child in own for below in child.children(recursive=True))]
