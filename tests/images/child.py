"""A process that takes files and says what became of them, a line of JSON each; its memory is bounded.

The parent side is `Child`: it notices a death or a hang, tells it, and goes on with a new process.
"""

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MEMORY = 512 * 1024 * 1024  # bytes of address space on top of what the libraries take when they are loaded
CPU_SECONDS = 10  # of one file; more ends the process with SIGXCPU
SECONDS = 60.0  # of one file by the clock, when others are at work, too


class Child:
    """Holds the process; a new one is started whenever it is needed."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """`seconds`: how long one file may take."""
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self.starts = 0
        self.cpu_seconds = 0.0

    def ask(self, path: Path, number: int = 0, *, strict: bool = False) -> dict[str, Any]:
        """What tests.images.trial.tried says; {"death": …} if the process died of it or did not answer in time."""
        process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # what it says tells that it is gone
            process.stdin.write(json.dumps([str(path), number, strict]) + "\n")
            process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(self._seconds) else ""
        if line:
            told: dict[str, Any] = json.loads(line)
            self.cpu_seconds = told["cpu_seconds"]
            return told
        hung = process.poll() is None and not _ended(process)
        status = self.close()
        return {"death": "hung" if hung else f"ended with {_reason(status)}", "outcomes": [], "difference": None}

    def kill(self) -> None:
        """End the process as an accident would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> int:
        """End the process; returns its status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        with suppress(BrokenPipeError):
            process.communicate()
        return process.returncode

    def _started(self) -> "subprocess.Popen[str]":
        self.starts += 1
        environ = {**os.environ, "VIPS_CONCURRENCY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.images.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environ,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the child has not come up"
        return self._process


@contextmanager
def child(seconds: float = SECONDS) -> Iterator[Child]:
    made = Child(seconds)
    try:
        yield made
    finally:
        made.close()


def _ended(process: "subprocess.Popen[str]") -> bool:
    """Whether the process, whose output is at its end, has ended."""
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return False
    return True


def _reason(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else str(status)


def main() -> None:
    """Answer line by line until the input ends."""
    from tests.images import trial  # noqa: PLC0415 - the parent must not load libvips

    _bound_memory(trial)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        path, number, strict = json.loads(line)
        _bound_time()
        told = trial.tried(Path(path), number, strict=strict)
        used = resource.getrusage(resource.RUSAGE_SELF)
        told |= {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss // 1024}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def _bound_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + CPU_SECONDS + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _bound_memory(trial: Any) -> None:
    trial.tried(Path(__file__).parents[2] / "deploy" / "photos" / "rocket.jpg", 0, strict=True)  # all is loaded by this
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        bound = pages * os.sysconf("SC_PAGESIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


if __name__ == "__main__":
    main()
