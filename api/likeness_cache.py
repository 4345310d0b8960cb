"""Exact search of embeddings without pgvector: NumPy over files that are mapped into memory, one per tenant and model.

The files are this process's own and have no name, so nobody else can read them and nothing is left of a process that is
killed. They follow the database: what is new is read before each search, and what is gone is not shown.
"""

import logging
import mmap
import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.errors import Refused
from storage import likenesses
from storage.database import Tx
from storage.likenesses import DIMENSIONS, Look, Match
from storage.model import StepId, TenantId
from storage.telemetry.metrics import CACHE_REQUESTS

log = logging.getLogger(__name__)

UNWRITABLE = "the platform cannot write the files in which it searches; its operator needs to look at CACHE_DIR"
TOO_MANY = (
    "there are more than {most} pictures with an embedding, the limit of a search without pgvector; the platform's"
    " operator can install that in the database, or raise SIMILAR_MAX_PICTURES"
)
TOGETHER = 4  # all files hold at most this many times the pictures of the largest tenant; the oldest used are given up
_AT_ONCE = 1000  # vectors per question to the database: 5 MB
_ROW_BYTES = 4 * DIMENSIONS


class LikenessCache:
    """A storage.likenesses.Nearest that holds files; threads may share it.

    `folder` is where the files are: 5,120 bytes a picture, and about 230 bytes of memory beside them. `most` is how
    many pictures a tenant may have.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._shelves: OrderedDict[tuple[TenantId, str], _Shelf] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, tx: Tx, look: Look, *, limit: int, least: float) -> list[Match]:
        """See Nearest. Raises Refused (503): there are too many pictures, or the folder cannot be written."""
        try:
            shelf = self._shelf(tx.tenant_id, look.model)
            with shelf.lock:
                shelf.catch_up(tx, self._most)
                found = shelf.nearest(tx, look, limit)
        except OSError as exc:
            log.warning("similar.unwritable reason=%s", exc)
            raise Refused(503, "cache_unwritable", UNWRITABLE) from exc
        self._make_room()
        return [match for match in found if match.score >= least]

    def pictures(self) -> int:
        """How many the files have room for."""
        with self._lock:
            return sum(len(shelf) for shelf in self._shelves.values())

    def close(self) -> None:
        """Give up all files."""
        with self._lock:
            self._shelves.clear()

    def _shelf(self, tenant_id: TenantId, model: str) -> "_Shelf":
        key = (tenant_id, model)
        with self._lock:
            if key not in self._shelves:
                self._shelves[key] = _Shelf(self._folder, model)
            self._shelves.move_to_end(key)
            return self._shelves[key]

    def _make_room(self) -> None:
        # A shelf that a thread still searches lives as long as that thread needs it.
        with self._lock:
            held = sum(len(shelf) for shelf in self._shelves.values())
            while held > TOGETHER * self._most:
                held -= len(self._shelves.popitem(last=False)[1])


class _Shelf:
    """The embeddings of one tenant and model: row n of the file belongs to the nth step, or to none."""

    def __init__(self, folder: Path, model: str) -> None:
        self.lock = threading.Lock()
        self._model = model
        self._file, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self._file)  # with its last user: a thread may search what was given up
        self._steps: list[StepId | None] = []
        self._rows: dict[StepId, int] = {}
        self._written: dict[StepId, int] = {}
        self._free: list[int] = []
        self._since = 0
        self._mapped: NDArray[np.float32] = np.empty((0, DIMENSIONS), np.float32)

    def __len__(self) -> int:
        return len(self._steps)

    def catch_up(self, tx: Tx, most: int) -> None:
        """Read what the transaction sees and the file does not hold. Raises Refused."""
        horizon = likenesses.horizon(tx)
        # A horizon that lies behind is that of a snapshot taken before the last one, or of a server to which the
        # database was moved, where numbers begin anew: then all are compared.
        since = self._since if horizon >= self._since else 0
        listed = likenesses.written_since(tx, self._model, since, limit=most + 1)
        changed = [step for step, written in listed.items() if self._written.get(step) != written]
        CACHE_REQUESTS.add("likenesses", "miss" if changed else "hit")
        if len(self._rows) + sum(step not in self._rows for step in changed) > most:
            self._drop_what_is_gone(tx, most)
        for first in range(0, len(changed), _AT_ONCE):
            self._read(tx, changed[first : first + _AT_ONCE], listed)
        self._since = horizon
        self._map()

    def nearest(self, tx: Tx, look: Look, limit: int) -> list[Match]:
        """Search; where something is found that is gone, everything that is gone is dropped first."""
        scores: NDArray[np.float32] = self._mapped @ self._mapped[self._rows[look.step_id]]
        own = {other.step_id for other in likenesses.of_job(tx, look.job_id)}
        best = self._best(scores, own, limit)
        found = likenesses.matches(tx, self._model, best)
        if len(found) < len(best):
            self._drop_what_is_gone(tx, len(self._steps))
            found = likenesses.matches(tx, self._model, self._best(scores, own, limit))
        return found

    def _best(self, scores: NDArray[np.float32], own: Set[StepId], limit: int) -> dict[StepId, float]:
        ranked = scores.copy()
        ranked[[self._rows[step] for step in own if step in self._rows] + self._free] = -np.inf
        most = min(limit, len(ranked))
        best = np.argpartition(ranked, -most)[-most:]
        scored = ((self._steps[row], float(ranked[row])) for row in best)
        return {step: score for step, score in scored if step is not None and score > -np.inf}

    def _read(self, tx: Tx, steps: Sequence[StepId], written: Mapping[StepId, int]) -> None:
        free = chain(self._free, count(len(self._steps)))
        placed = []
        for step, vector in likenesses.vectors(tx, steps).items():
            row = self._rows[step] if step in self._rows else next(free)
            _write(self._file, vector.tobytes(), row * _ROW_BYTES)
            placed.append((step, row))
        # Only now do they count: what breaks off before is done again by the next search.
        for step, row in placed:
            if row == len(self._steps):
                self._steps.append(step)
            self._steps[row] = step
            self._rows[step] = row
            self._written[step] = written[step]
        self._free = [row for row in self._free if self._steps[row] is None]

    def _drop_what_is_gone(self, tx: Tx, most: int) -> None:
        """Raises Refused if there are more than `most` in the database."""
        there = likenesses.written_since(tx, self._model, 0, limit=most + 1)
        if len(there) > most:
            raise Refused(503, "too_many_pictures", TOO_MANY.format(most=most))
        self._keep(there)

    def _keep(self, there: Iterable[StepId]) -> None:
        for step in self._rows.keys() - set(there):
            row = self._rows.pop(step)
            del self._written[step]
            self._steps[row] = None
            self._free.append(row)

    def _map(self) -> None:
        if len(self._mapped) < len(self._steps):
            length = len(self._steps) * _ROW_BYTES
            mapped = mmap.mmap(self._file, length, access=mmap.ACCESS_READ)
            self._mapped = np.frombuffer(mapped, np.float32).reshape(-1, DIMENSIONS)


def _write(file: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(file, left, at)
        left, at = left[done:], at + done
