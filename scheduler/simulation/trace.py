"""A trace: how many jobs arrived in each step of time, read from a CSV file."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scheduler.simulation.errors import InvalidTrace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = ("timestamp", "value", "scheduled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """Jobs by rows of time: row i lasts from `begins[i]` to `ends[i]`, seconds since `origin`.

    `spread` are the jobs that come at random within the row, on average; `scheduled` are those that a schedule fires as
    the row begins, known in advance.
    """

    name: str
    origin: datetime
    begins: Floats
    ends: Floats
    spread: Floats
    scheduled: Ints

    @property
    def seconds(self) -> float:
        return float(self.ends[-1])

    @property
    def jobs(self) -> float:
        """How many arrive, on average."""
        return float(self.spread.sum() + self.scheduled.sum())

    @property
    def peak(self) -> float:
        """The highest rate of a row, in jobs a second."""
        return float(((self.spread + self.scheduled) / (self.ends - self.begins)).max())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    at: datetime
    value: float
    scheduled: float


def read(file: Path) -> Trace:
    """Read `timestamp,value[,scheduled]`: ISO 8601 or Unix seconds, and jobs in the step that begins there.

    A row lasts until the next, but no longer than the most common step: in a gap nothing arrives. Raises InvalidTrace.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(_rows(lines, str(file)))
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidTrace(f"{file} cannot be read: {exc}") from exc
    if len(rows) < 2:
        raise InvalidTrace(f"{file} has {len(rows)} rows; a trace needs two at least, to tell how long its steps are")
    return of_rows(file.stem, [row.at for row in rows], [r.value for r in rows], [r.scheduled for r in rows])


def of_rows(
    name: str, times: list[datetime], values: Iterable[float], scheduled: Iterable[float] | None = None
) -> Trace:
    """A trace of two rows at least, whose times rise."""
    begins = np.array([(at - times[0]).total_seconds() for at in times])
    steps = np.diff(begins)
    common = Counter(steps.tolist()).most_common(1)[0][0]
    total = np.fromiter(values, np.float64)
    known = np.zeros(len(times)) if scheduled is None else np.fromiter(scheduled, np.float64)
    return Trace(
        name=name,
        origin=times[0],
        begins=begins,
        ends=begins + np.append(np.minimum(steps, common), common),
        spread=total - known,
        scheduled=known.astype(np.int64),
    )


def cut(trace: Trace, since: datetime | None = None, until: datetime | None = None) -> Trace:
    """Only the rows that begin in this time. Raises InvalidTrace if fewer than two are left."""
    low = -np.inf if since is None else (since - trace.origin).total_seconds()
    high = np.inf if until is None else (until - trace.origin).total_seconds()
    kept = (trace.begins >= low) & (trace.begins < high)
    if kept.sum() < 2:
        raise InvalidTrace(f"{trace.name}: {kept.sum()} rows are in the time asked for; it needs two at least")
    first = float(trace.begins[kept][0])
    return replace(
        trace,
        origin=trace.origin + timedelta(seconds=first),
        begins=trace.begins[kept] - first,
        ends=trace.ends[kept] - first,
        spread=trace.spread[kept],
        scheduled=trace.scheduled[kept],
    )


def scaled(trace: Trace, factor: float) -> Trace:
    """As many times the jobs."""
    known = np.rint(trace.scheduled * factor).astype(np.int64)
    return replace(trace, spread=trace.spread * factor, scheduled=known)


def moment(text: str) -> datetime:
    """Read a timestamp, ISO 8601 or Unix seconds; one without a zone is UTC. Raises ValueError."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _rows(lines: Iterable[str], file: str) -> Iterator[_Row]:
    cells = csv.reader(lines, strict=True)
    before = None
    try:
        header = tuple(cell.strip().lower() for cell in next(cells, []))
        if header not in {COLUMNS[:2], COLUMNS}:
            raise ValueError("must be 'timestamp,value' or 'timestamp,value,scheduled'")
        for found in filter(None, cells):
            row = _row(found, len(header))
            if before is not None and row.at <= before:
                raise ValueError(f"{found[0]!r} is not later than the line before")
            before = row.at
            yield row
    except UnicodeDecodeError:
        raise
    except (ValueError, csv.Error) as exc:
        raise InvalidTrace(f"{file}, line {max(1, cells.line_num)}: {exc}") from exc


def _row(cells: list[str], width: int) -> _Row:
    if len(cells) != width:
        raise ValueError(f"has {len(cells)} cells, the header {width}")
    try:
        at = moment(cells[0])
    except ValueError:
        raise ValueError(f"{cells[0]!r} is no timestamp (ISO 8601 or Unix seconds)") from None
    value = _count(cells[1], "value")
    scheduled = _count(cells[2], "scheduled") if width > 2 else 0.0
    if scheduled > value or not scheduled.is_integer():
        raise ValueError(f"scheduled must be a whole number up to the value, not {cells[2]!r}")
    return _Row(at=at, value=value, scheduled=scheduled)


def _count(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None
    if not 0 <= value < 1e12:
        raise ValueError(f"{name} must be a number from 0 on, not {text!r}")
    return value
