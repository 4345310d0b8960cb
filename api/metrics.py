"""`/metrics`: exact numbers in Prometheus' text format, read from rows at each scrape, and the API's own counters."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from api import metric_celery, metric_standing, openapi, schedule_metrics
from api.auth import Watcher
from api.metric_standing import Standing as PlatformStanding
from api.service import Service, Serving
from storage import counts, firing_counts, scaling, workers
from storage.counts import Load, QueueCounts, ServiceTime
from storage.firing_counts import FiringCounts, Standing
from storage.scaling import PoolStanding
from storage.telemetry import metric_families
from storage.workers import Worker
from tasks.names import Priority, Queue

router = APIRouter(tags=["metrics"])

Samples = Iterable[tuple[Sequence[str], float]]


@router.get(
    "/metrics",
    summary="Read the numbers as Prometheus does",
    response_class=PlainTextResponse,
    responses=openapi.problems(401, 403, 503),
)
async def metrics(service: Serving, caller: Watcher) -> Response:
    """Exact numbers of all queues, pools, schedules and processes, and counters of the API's own processes."""
    text = await service.blocking(_told, service)
    return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one scrape tells, of one moment: a collector of prometheus_client's. `ages` of decisions by pool."""

    queues: Sequence[QueueCounts]
    pools: Sequence[PoolStanding]
    ages: Mapping[str, float]
    firings: FiringCounts
    schedules: Standing
    platform: PlatformStanding
    workers: Sequence[Worker]

    def collect(self) -> Iterator[Metric]:
        yield from _of_loads(self.queues)
        yield from _of_queues(self.queues)
        yield from _of_pools(self.pools, self.ages)
        yield from schedule_metrics.families(self.firings, self.schedules)
        yield from metric_standing.families(self.platform)
        yield from metric_celery.families(self.queues, self.workers)
        yield from metric_families.of_here()


def _told(service: Service) -> bytes:
    with service.database.platform_snapshot() as tx:
        queues = counts.read(tx, Queue)
        seen = Seen(
            queues=list(queues.values()),
            pools=scaling.standing(tx),
            ages=scaling.ages(tx),
            firings=firing_counts.read(tx),
            schedules=firing_counts.standing(tx),
            platform=metric_standing.read(tx, service.database),
            workers=workers.living(tx),
        )
    return generate_latest(seen)


_OF_LOAD: Sequence[tuple[str, str, Callable[[Load], float]]] = (
    ("runnable", "Steps that may run now and do not yet.", lambda load: load.runnable),
    ("running", "Steps that run.", lambda load: load.running),
    ("waiting", "Steps that wait for other steps of their job.", lambda load: load.waiting),
    ("scheduled", "Steps that wait for their time.", lambda load: load.scheduled),
    ("retrying", "Steps that wait for their next attempt.", lambda load: load.retrying),
    (
        "oldest_runnable_seconds",
        "Age of the oldest step that may run now; 0 if there is none.",
        lambda load: load.oldest_seconds or 0.0,
    ),
)


_OF_RATE: Sequence[tuple[str, str, Callable[[Load], float], Callable[[Load], float]]] = (
    (
        "arrivals_per_second",
        "Steps that became runnable, over the last minute (window 1m) and the last five (5m).",
        lambda load: load.arrivals_1m,
        lambda load: load.arrivals_5m,
    ),
    (
        "completions_per_second",
        "Attempts that ended, however they did, over the last minute (window 1m) and the last five (5m).",
        lambda load: load.completions_1m,
        lambda load: load.completions_5m,
    ),
)

_OF_SERVICE: Sequence[tuple[str, str, Callable[[ServiceTime], float]]] = (
    (
        "service_mean_seconds",
        "How long an attempt takes a slot, of the last five minutes or, if few ended, of the last hour.",
        lambda service: service.mean_seconds,
    ),
    (
        "service_p95_seconds",
        "What 95 of 100 of these attempts do not take longer than; at most 5 % off.",
        lambda service: service.p95_seconds,
    ),
)

_OF_QUEUE: Sequence[tuple[str, str, Callable[[QueueCounts], float]]] = (
    ("workers", "Workers that serve the queue and are not stopping.", lambda queue: queue.workers),
    (
        "slots",
        "Steps that these workers can run at once; a worker may serve other queues with the same slots.",
        lambda queue: queue.slots,
    ),
    ("paused", "1 while an operator has paused the queue.", lambda queue: queue.paused_at is not None),
)


def _of_loads(queues: Iterable[QueueCounts]) -> Iterator[GaugeMetricFamily]:
    loads = [
        ((queue.name, priority), queue.by_priority.get(priority.rank, Load()))
        for queue in queues
        for priority in Priority
    ]
    for name, what, number in _OF_LOAD:
        yield _gauge(f"queue_{name}", what, ("queue", "priority"), ((of, number(load)) for of, load in loads))
    for name, what, one, five in _OF_RATE:
        rates = (((*of, window), rate(load)) for of, load in loads for window, rate in (("1m", one), ("5m", five)))
        yield _gauge(f"queue_{name}", what, ("queue", "priority", "window"), rates)


def _of_queues(queues: Sequence[QueueCounts]) -> Iterator[GaugeMetricFamily]:
    """Service times only where attempts have ended: what is not known is not told.

    They are of all priorities together: neither a mean nor a p95 adds up.
    """
    for name, what, number in _OF_QUEUE:
        yield _gauge(f"queue_{name}", what, ("queue",), (((queue.name,), number(queue)) for queue in queues))
    for name, what, time in _OF_SERVICE:
        times = (((queue.name,), time(queue.load.service)) for queue in queues if queue.load.service is not None)
        yield _gauge(f"queue_{name}", what, ("queue",), times)


_OF_POOL: Sequence[tuple[str, str, Callable[[PoolStanding], float]]] = (
    ("replicas", "Replicas that the scaler found at its last decision.", lambda pool: pool.last.replicas),
    ("wanted_replicas", "Replicas that it wants.", lambda pool: pool.last.wanted),
    ("min_replicas", "The fewest that the pool may have.", lambda pool: pool.least),
    ("max_replicas", "The most that the pool may have.", lambda pool: pool.most),
)


def _of_pools(pools: Sequence[PoolStanding], ages: Mapping[str, float]) -> Iterator[GaugeMetricFamily]:
    for name, what, number in _OF_POOL:
        yield _gauge(f"pool_{name}", what, ("pool",), (((pool.name,), number(pool)) for pool in pools))
    yield _gauge(
        "pool_decision_age_seconds",
        "Age of the scaler's last decision; it grows while no scaler runs or reaches the database.",
        ("pool",),
        (((name,), age) for name, age in ages.items()),
    )


def _gauge(name: str, what: str, labels: Sequence[str], samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"millrace_{name}", what, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family
