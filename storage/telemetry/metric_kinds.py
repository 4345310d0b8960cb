"""Counters, gauges and histograms as this code base counts; storage.telemetry.metrics has all that there are."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from storage.telemetry import metric_store

FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds, upper bounds: of requests
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)  # of work
CELERYS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # as the exporter has them


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter:
    """What only grows. `name` as it is told, with its _total; `labels` are the names of its labels."""

    name: str
    what: str
    labels: Sequence[str] = ()

    @property
    def key(self) -> str:
        return f"c{self.name}"

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count, under these values of the labels."""
        metric_store.add(f"c{self.name}", values, 1, ((0, by),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Gauge:
    """What stands now; those of all living processes add up, and a process's end with it."""

    name: str
    what: str
    labels: Sequence[str] = ()

    @property
    def key(self) -> str:
        return f"g{self.name}"

    def add(self, *values: str, by: float = 1.0) -> None:
        metric_store.add(f"g{self.name}", values, 1, ((0, by),))

    @contextmanager
    def held(self, *values: str) -> Iterator[None]:
        """One more while the block runs."""
        self.add(*values)
        try:
            yield
        finally:
            self.add(*values, by=-1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """How long things take: `bounds` are upper ones, in seconds.

    A cell for each of these, for what takes longer than any, and for the sum.
    """

    name: str
    what: str
    labels: Sequence[str] = ()
    bounds: Sequence[float] = LONG

    @property
    def key(self) -> str:
        return f"h{self.name}"

    @property
    def cells(self) -> int:
        return len(self.bounds) + 2

    def observe(self, seconds: float, *values: str) -> None:
        bucket = bisect_left(self.bounds, seconds)
        metric_store.add(f"h{self.name}", values, self.cells, ((bucket, 1.0), (len(self.bounds) + 1, seconds)))


Kind = Counter | Gauge | Histogram
