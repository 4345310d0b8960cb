"""The numbers of this process, and of the others that serve theirs together with it.

Processes that were forked from one, or were told the same folder, serve one page of numbers: each writes its own, and
whoever is asked adds them up. What those have counted that have died since is taken over, so that no counter falls.
"""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storage.telemetry import metric_cells
from storage.telemetry.metric_cells import Cells, Key

log = logging.getLogger(__name__)

FOLDER = "millrace-metrics-"
OWNER = "owner"  # a file that is locked by who made the folder, and whoever was forked from it
PATIENCE_SECONDS = 1.0  # how long one who adds up waits for another one
MOST_SETS = 1000  # of labels, of one metric: further ones count as "other"
OTHER = "other"
GAUGE = "g"  # how the key of a number begins that ends with its process

Where = tuple[str, Sequence[str]]


@dataclass(kw_only=True, slots=True)
class _Here:
    """The state of this process. The lock is held over each change, and over each fork: no child inherits it taken."""

    lock: threading.RLock = field(default_factory=threading.RLock)  # a signal may come while it is held
    folder: Path | None = None
    is_on: bool = True
    owned: Path | None = None  # the folder that is this process's own to remove,
    owner: int | None = None  # and the file by whose lock others see that it is in use
    cells: Cells | None = None
    places: dict[Where, int] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)  # what went wrong: logged without the lock, for logs have their own


_here = _Here()


def off() -> None:
    """Count nothing from now on: nobody is going to ask."""
    _here.is_on = False


def share(folder: Path | None = None) -> None:
    """Count where processes that are forked from this one, or were told the same folder, can add it to theirs.

    Without a `folder` one is made, for this process and its children. Where that cannot be, each counts for itself.
    """
    with _here.lock:
        _forget_numbers()
        try:
            _here.folder = folder or own_folder()
        except OSError as exc:
            _here.untold.append(f"not shared: {exc}")
    _tell()


def own_folder() -> Path:
    """A folder for processes to share that is removed by `close`, or after this process was killed. Raises OSError."""
    _clear_dead()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    _here.owned, _here.owner = folder, os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(_here.owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder


def close() -> None:
    """Remove the folder, if this process has made it."""
    with _here.lock:
        if _here.owned is not None and _here.owner is not None:
            shutil.rmtree(_here.owned, ignore_errors=True)
            os.close(_here.owner)
            _here.folder, _here.owned, _here.owner = None, None, None


def add(key: str, labels: Sequence[str], count: int, changes: Sequence[tuple[int, float]]) -> None:
    """Add to cells of a number: pairs of a cell's index and what is added; it has `count` cells in all."""
    if not _here.is_on:
        return
    with _here.lock:
        place = _here.places.get((key, labels))
        if place is None:
            place = _place(key, labels, count)
        if place >= 0 and _here.cells is not None:
            cells = _here.cells.cells
            for index, change in changes:
                cells[place + index] += change
    if _here.untold:
        _tell()


def read() -> Mapping[Key, list[float]]:
    """All numbers of the group, by key (see `key_of`); takes over what dead ones have left."""
    folder = _here.folder
    if folder is None:
        return _own()
    with _alone(folder) as is_alone:
        if is_alone:
            _take_over(folder)
        found = dict(_own())
        path = None if _here.cells is None else _here.cells.path
        for other in metric_cells.of_living(folder, but=path):
            for key, cells in other.items():
                metric_cells.add_up(found, key, cells)
    return found


def tidy() -> None:
    """Take over what dead ones have left, so that their files do not become many."""
    folder = _here.folder
    if folder is not None and _here.is_on:
        with _alone(folder) as is_alone:
            if is_alone:
                _take_over(folder)


def key_of(key: str, labels: Sequence[str]) -> Key:
    return json.dumps([key, *labels], separators=(",", ":"), ensure_ascii=False)


def parts_of(key: Key) -> tuple[str, tuple[str, ...]]:
    """The opposite of `key_of`."""
    name, *labels = json.loads(key)
    return name, tuple(labels)


def _place(key: str, labels: Sequence[str], count: int) -> int:
    """Where the cells are, or -1 if there is no room for them."""
    sets = _here.sets.get(key, 0)
    if sets >= MOST_SETS and labels != (others := (OTHER,) * len(labels)):
        return _here.places[(key, others)] if (key, others) in _here.places else _place(key, others, count)
    try:
        if _here.cells is None:
            _here.cells = _made()
        place = _here.cells.make(key_of(key, labels), count)
    except OSError as exc:
        _here.untold.append(f"{key[1:]} not counted: {exc}")
        place = -1
    _here.places[(key, labels)], _here.sets[key] = place, sets + 1
    return place


def _made() -> Cells:
    try:
        return Cells(_here.folder)
    except OSError as exc:  # no room on the disk: better for itself than not at all
        _here.untold.append(f"not shared: {exc}")
        return Cells(None)


def _tell() -> None:
    with contextlib.suppress(IndexError):  # another thread tells as well
        while True:
            log.warning("metrics.short reason=%s", _here.untold.pop())


def _own() -> Mapping[Key, list[float]]:
    with _here.lock:
        return {} if _here.cells is None else _here.cells.read()


def _take_over(folder: Path) -> None:
    """Count what dead ones have counted as one's own; gauges have ended with them."""
    try:
        for path, left in metric_cells.of_dead(folder):
            for key, cells in left.items():
                name, labels = parts_of(key)
                if not name.startswith(GAUGE):
                    add(name, labels, len(cells), [(index, cell) for index, cell in enumerate(cells) if cell])
            path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("metrics.not_taken_over reason=%s", exc)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process adds up or takes over meanwhile; not waited for long: it may be frozen."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # somebody has cleared the folder away
        yield False
        return
    try:
        yield _locked(descriptor, time.monotonic() + PATIENCE_SECONDS)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def _clear_dead() -> None:
    """Remove the folders of processes that were killed."""
    for owner in Path(tempfile.gettempdir()).glob(f"{FOLDER}*/{OWNER}"):
        try:
            with owner.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owner.parent, ignore_errors=True)
        except OSError:  # it is in use, or another user's
            continue


def _forget_numbers() -> None:
    if _here.cells is not None:
        _here.cells.close()
    _here.cells = None
    _here.places.clear()
    _here.sets.clear()


def _after_fork() -> None:
    """A child counts from 0, in a file of its own; the parent's is none of its business."""
    _here.lock = threading.RLock()
    _here.owned = _here.owner = None  # left open: the folder is in use as long as a child lives
    _forget_numbers()


def _released() -> None:
    _here.lock.release()


def _taken() -> None:
    _here.lock.acquire()


os.register_at_fork(before=_taken, after_in_parent=_released, after_in_child=_after_fork)
