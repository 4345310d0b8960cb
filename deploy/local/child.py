"""One running process of a part, in a session of its own."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.local import logs
from deploy.local.errors import CannotPrepare
from deploy.local.part import Part


class Child:
    """Holds a process from its start to its end; whoever waits for it also clears away what it leaves in its group."""

    def __init__(self, part: Part, marks: Mapping[str, str]) -> None:
        """Start the process, with `marks` added to its environment.

        Raises CannotPrepare when the program cannot be started at all.
        """
        self.part = part
        self.log_start = logs.size(part.log)
        self.began = time.monotonic()
        output = logs.open_for_child(part.log)
        try:
            self._process = subprocess.Popen(
                part.argv,
                env={**part.env, **marks},
                cwd=part.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=part.uid,
                group=part.uid,
                extra_groups=None if part.uid is None else (),
            )
        except OSError as exc:
            raise CannotPrepare(f"{part.argv[0]} cannot be started: {exc.strerror}") from exc
        finally:
            os.close(output)

    @property
    def pid(self) -> int:
        """The number of the process, which is its group's and its session's too."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended; asking does not wait."""
        return self._process.poll() is not None

    def wait(self) -> str:
        """Wait for the end and return it in words; then nothing of its group is left."""
        status = self._process.wait()
        self._kill_group()
        for path in self.part.leaves:
            _remove(path)
        return in_words(status)

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.returncode

    def ask_to_stop(self) -> None:
        """Send the part's own stop signal."""
        self._process.send_signal(self.part.stop_signal)

    def kill(self) -> None:
        """End it and every process below it at once, also those that left its group."""
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self.pid).children(recursive=True)
        self._kill_group()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _kill_group(self) -> None:
        # The number of an ended leader is not given away while its group has members; without any this does nothing.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def in_words(status: int) -> str:
    """Say how a process ended: `exit status 1` or `killed by SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
