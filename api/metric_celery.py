"""The part of `/metrics` under the names of celery-exporter, so that the dashboards that people have light up.

They are read from rows: a queue's length is what may run, wherever its hint is, and not what the broker holds of it.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from storage.counts import QueueCounts
from storage.workers import Worker

_OF_QUEUE: Sequence[tuple[str, str, Callable[[QueueCounts], int]]] = (
    ("queue_length", "Steps that may run now and do not yet.", lambda queue: queue.load.runnable),
    ("active_consumer_count", "Workers that take from the queue.", lambda queue: queue.workers),
    ("active_worker_count", "Workers that serve the queue.", lambda queue: queue.workers),
    ("active_process_count", "Steps that these workers can run at once.", lambda queue: queue.slots),
)


def families(queues: Sequence[QueueCounts], workers: Sequence[Worker]) -> Iterator[Metric]:
    """Gauges by queue, and by worker; a worker that has ended is not told of any more."""
    for name, what, number in _OF_QUEUE:
        family = GaugeMetricFamily(f"celery_{name}", what, labels=("queue_name",))
        for queue in queues:
            family.add_metric((queue.name,), float(number(queue)))
        yield family
    up = GaugeMetricFamily("celery_worker_up", "1 while the worker says that it lives.", labels=("hostname",))
    active = GaugeMetricFamily("celery_worker_tasks_active", "Steps that the worker works on.", labels=("hostname",))
    running: dict[str, int] = {}
    for worker in workers:  # two of one replica's name are one: its successor may be there before its row is gone
        running[worker.replica] = running.get(worker.replica, 0) + worker.running
    for replica, steps in running.items():
        up.add_metric((replica,), 1.0)
        active.add_metric((replica,), float(steps))
    yield up
    yield active
