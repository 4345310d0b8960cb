"""What this process, and those that serve their numbers with it, have counted, as prometheus_client takes it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import assert_never

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from storage.telemetry import metric_store, metrics
from storage.telemetry.metric_kinds import Counter, Gauge, Histogram, Kind

Series = Mapping[tuple[str, ...], Sequence[float]]


class Here:
    """A collector of prometheus_client's."""

    def collect(self) -> Iterator[Metric]:
        yield from of_here()


def text() -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(Here())


def of_here() -> Iterator[Metric]:
    """A family for each metric; without labels it is 0 at first, with labels it has what was counted."""
    found: dict[str, dict[tuple[str, ...], Sequence[float]]] = defaultdict(dict)
    for key, cells in metric_store.read().items():
        name, labels = metric_store.parts_of(key)
        found[name][labels] = cells
    for kind in metrics.ALL:
        series = found[kind.key]
        if not kind.labels:
            series.setdefault((), [0.0] * (kind.cells if isinstance(kind, Histogram) else 1))
        yield _family(kind, {labels: series[labels] for labels in sorted(series)})


def _family(kind: Kind, series: Series) -> Metric:
    match kind:
        case Counter():
            counter = CounterMetricFamily(kind.name.removesuffix("_total"), kind.what, labels=kind.labels)
            for labels, cells in series.items():
                counter.add_metric(labels, cells[0])
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(kind.name, kind.what, labels=kind.labels)
            for labels, cells in series.items():
                gauge.add_metric(labels, cells[0])
            return gauge
        case Histogram():
            histogram = HistogramMetricFamily(kind.name, kind.what, labels=kind.labels)
            for labels, cells in series.items():
                *buckets, total = cells
                bounds = [*(repr(bound) for bound in kind.bounds), "+Inf"]
                histogram.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), total)
            return histogram
        case _:
            assert_never(kind)
