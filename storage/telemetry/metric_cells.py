"""Numbers of one process in memory that others can read: cells of a mapped file, which outlive who wrote them.

A file holds, after 8 bytes with the number of bytes in use, entries one after another: the length of the key, the
number of cells, the key (UTF-8, filled up to 8 bytes), the cells (doubles). All of it in this machine's byte order. An
entry counts once the bytes in use say so; one key may have several, which add up.

Whoever writes holds a lock (flock) on the file: it goes with the process, however that ends.
"""

import contextlib
import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

SUFFIX = ".cells"
FIRST_BYTES = 65_536
MOST_BYTES = 16 * 1024**2  # what needs more is not counted

_HEAD = struct.Struct("@Q")
_ENTRY = struct.Struct("@II")
_CELL = 8

Key = str


class Cells:
    """Cells that this process writes; in `folder`, or where there is none for itself alone. Raises OSError.

    Room on the disk is taken beforehand: a full disk must be an error here, not the end of the process at a write.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path: Path | None = None
        self._descriptor: int | None = None
        if folder is not None:
            self.path, self._descriptor = _created(folder)
        self._memory = self._mapped(FIRST_BYTES)
        self._end = _HEAD.size
        self.cells = memoryview(self._memory).cast("d")
        _HEAD.pack_into(self._memory, 0, self._end)

    def make(self, key: Key, count: int) -> int:
        """Cells for a key, all 0; returns the index of the first of them. Raises OSError if there is no room left."""
        name = key.encode()
        first = _up(self._end + _ENTRY.size + len(name))
        end = first + count * _CELL
        while end > len(self._memory):
            self._grow()
        _ENTRY.pack_into(self._memory, self._end, len(name), count)
        self._memory[self._end + _ENTRY.size : self._end + _ENTRY.size + len(name)] = name
        self._end = end
        _HEAD.pack_into(self._memory, 0, end)
        return first // _CELL

    def read(self) -> Mapping[Key, list[float]]:
        return _parsed(self._memory[:])

    def close(self) -> None:
        """Let go of the memory; the file stays, for others to read. In a child of its writer it stays the writer's."""
        self.cells.release()
        self._memory.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _grow(self) -> None:
        size = 2 * len(self._memory)
        if size > MOST_BYTES:
            raise OSError("the numbers of this process take too much memory")
        old, new = self._memory, self._mapped(size)
        if self._descriptor is None:
            new[: len(old)] = old[:]
        released, self._memory, self.cells = self.cells, new, memoryview(new).cast("d")  # a signal may come in between
        released.release()
        old.close()

    def _mapped(self, size: int) -> mmap.mmap:
        if self._descriptor is None:
            return mmap.mmap(-1, size)
        os.posix_fallocate(self._descriptor, 0, size)
        return mmap.mmap(self._descriptor, size)


def of_dead(folder: Path) -> Iterator[tuple[Path, Mapping[Key, list[float]]]]:
    """What writers have left that live no more. Each is this caller's alone until the next one is asked for."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if _is_free(file.fileno()):
                yield path, _parsed(file.read())


def of_living(folder: Path, *, but: Path | None) -> Iterator[Mapping[Key, list[float]]]:
    """What the others write; `but` is one's own file."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path != but:
            with contextlib.suppress(FileNotFoundError):
                yield _parsed(path.read_bytes())


def _created(folder: Path) -> tuple[Path, int]:
    """A file that is locked before anybody can see it: one without a lock is a dead one's."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(folder / f"{name}.new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(descriptor, 0, FIRST_BYTES)
        path = folder / f"{name}{SUFFIX}"
        (folder / f"{name}.new").rename(path)
    except OSError:
        os.close(descriptor)
        (folder / f"{name}.new").unlink(missing_ok=True)
        raise
    return path, descriptor


def _is_free(descriptor: int) -> bool:
    """Whether nobody has locked the file; the lock is then this descriptor's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(content: bytes) -> dict[Key, list[float]]:
    found: dict[Key, list[float]] = {}
    if len(content) < _HEAD.size:
        return found
    place, end = _HEAD.size, min(_HEAD.unpack_from(content, 0)[0], len(content))
    while place + _ENTRY.size <= end:
        length, count = _ENTRY.unpack_from(content, place)
        first = _up(place + _ENTRY.size + length)
        name = content[place + _ENTRY.size : place + _ENTRY.size + length].decode("utf-8", "replace")
        add_up(found, name, struct.unpack_from(f"@{count}d", content, first))
        place = first + count * _CELL
    return found


def add_up(found: dict[Key, list[float]], key: Key, cells: "tuple[float, ...] | list[float]") -> None:
    """Add the cells to those that were found for this key; others' that have another number of them are left out."""
    known = found.get(key)
    if known is None:
        found[key] = list(cells)
    elif len(known) == len(cells):
        for index, cell in enumerate(cells):
            known[index] += cell


def _up(place: int) -> int:
    return -(-place // _CELL) * _CELL
