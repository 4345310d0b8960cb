"""The home folder of one stack: who holds it, what runs in it, what a killed launcher left in it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from deploy.local import orphans, private
from deploy.local.errors import AlreadyRunning

MARK = "MILLRACE_STACK"
"""Set in the environment of everything that a launcher starts, to its home: so its orphans are known even when the
launcher died before it could write them down."""

PATIENCE_SECONDS = 1.5


@contextlib.contextmanager
def held(home: Path) -> Iterator[list[str]]:
    """Hold the home while the body runs; what a killed launcher left in it is cleared away first, and handed out.

    The lock is on an open file that children do not inherit: it goes with this process, however that ends, and orphans
    cannot keep it. Raises AlreadyRunning, with the number of the process that has it.
    """
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    descriptor = _lock(home)
    try:
        yield stop_leftovers(home)
    finally:
        (home / "lock").unlink(missing_ok=True)
        os.close(descriptor)


def holder(home: Path) -> int | None:
    """Return the number of the process that holds this home, 0 when it cannot be read, None when nobody does."""
    try:
        descriptor = os.open(home / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _number_in(descriptor)
    finally:
        os.close(descriptor)
    return None


def remember(home: Path, processes: Mapping[str, int]) -> None:
    """Write down what runs, with the time each process started: a number alone may be a stranger's tomorrow."""
    started = {name: {"pid": pid, "started": _started(pid)} for name, pid in processes.items()}
    private.write(home / "processes.json", json.dumps(started, indent=2) + "\n")


def forget(home: Path) -> None:
    """Remove the notes of a run that has ended in order."""
    for name in ("run.json", "processes.json"):
        (home / name).unlink(missing_ok=True)


def stop_leftovers(home: Path, patience: float = PATIENCE_SECONDS) -> list[str]:
    """Stop what a launcher left running in this home, and return what it was, a phrase each.

    `patience` in seconds, before what does not stop is killed. Only for who holds the lock. A process is stopped when
    its number and its start time are the ones written down, or when it carries this home's mark; and so are the
    processes below it.
    """
    found = leftovers(home)
    family = {process.pid: process for process in found.values()}
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            family |= {child.pid: child for child in process.children(recursive=True)}
    orphans.end(family.values(), patience)
    forget(home)
    return [f"{name} (process {process.pid})" for name, process in found.items()]


def leftovers(home: Path) -> dict[str, psutil.Process]:
    """Find the processes that an earlier launcher started here and that still live, by the name of their part."""
    found = {}
    for name, note in _notes(home).items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(note["pid"]))
            if abs(process.create_time() - note["started"]) < 1.0 and orphans.lives(process):
                found[name] = process
    launcher = psutil.Process()
    known = {process.pid for process in (*found.values(), launcher, *launcher.parents())}
    for process in psutil.process_iter(["environ", "name"]):
        if process.pid not in known and (process.info["environ"] or {}).get(MARK) == str(home):
            found[f"{process.info['name']}-{process.pid}"] = process
    return found


def _notes(home: Path) -> dict[str, dict[str, float]]:
    try:
        notes = json.loads((home / "processes.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(notes, dict):
        return {}
    return {name: note for name, note in notes.items() if _is_note(note)}


def _is_note(note: object) -> bool:
    return isinstance(note, dict) and isinstance(note.get("pid"), int) and isinstance(note.get("started"), float)


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _lock(home: Path) -> int:
    path = home / "lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = _number_in(descriptor)
            os.close(descriptor)
            raise AlreadyRunning(home, number) from None
        if _is_still_at(path, descriptor):
            break
        os.close(descriptor)  # its holder removed the file on leaving: this lock guards nothing
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _number_in(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
