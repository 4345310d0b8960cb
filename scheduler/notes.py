"""What is written down of each replica that is a process: by it the next scaler finds what the last one started."""

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A replica. `identity` tells its process from a stranger that gets its number tomorrow.

    `made_of` stands for the command that it was started with. `leave_by` (time.monotonic, which is the machine's) is
    when it is killed if it has not ended; None while it is to stay.
    """

    replica: str
    pool: str
    pid: int
    identity: str
    made_of: str
    leave_by: float | None = None

    @property
    def lives(self) -> bool:
        """Whether its process runs; one that has ended and was not waited for does not."""
        return identity(self.pid) == self.identity

    def signal(self, number: int) -> None:
        """Signal its first process, which ends those below it."""
        if self.lives:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End whatever is left of it. It leads a session, and a group's number is not given away while it has members;
        but one that is empty may be, so a stranger that leads it is left alone.
        """
        now = identity(self.pid)
        if now in (self.identity, ""):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def read(folder: Path) -> list[Note]:
    """The notes of replicas that live."""
    return [note for note in read_all(folder) if note.lives]


def read_all(folder: Path) -> list[Note]:
    """All notes, in the order of their files' age."""
    found = []
    for path in sorted(folder.glob("*.json"), key=_age):
        with contextlib.suppress(ValueError, TypeError, OSError):  # half a file, or another version's, is no note
            found.append(Note(**json.loads(path.read_text(encoding="utf-8"))))
    return found


def write(folder: Path, note: Note) -> None:
    """Write it down, all or nothing. Raises OSError."""
    path = folder / f"{note.replica}.json"
    path.with_suffix(".new").write_text(json.dumps(asdict(note)), encoding="utf-8")
    path.with_suffix(".new").replace(path)


def remove(folder: Path, replica: str) -> None:
    with contextlib.suppress(OSError):
        (folder / f"{replica}.json").unlink()


def identity(pid: int) -> str:
    """What no other process with this number has, whatever the clock does; empty if there is none that runs."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        started = _ticks(pid)
        return str(process.create_time()) if started is None else f"{_BOOT_ID.read_text().strip()}:{started}"
    except (psutil.Error, OSError):
        return ""


def _ticks(pid: int) -> int | None:
    """When it started, in ticks since the machine did (proc(5), stat, field 22); None where there is no /proc."""
    if not _BOOT_ID.exists():
        return None
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[19])


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name
