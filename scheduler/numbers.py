"""The numbers that a pool's triggers are read with, out of the database."""

from collections.abc import Iterable, Mapping

from scheduler.pools import Pool
from scheduler.triggers import Due, Numbers
from storage import counts
from storage.counts import DueSoon, QueueCounts
from storage.database import Database, PlatformTx

HORIZON_SECONDS = 600.0  # how far ahead what is due is looked for


def read(database: Database, pool: Pool) -> Numbers:
    """One pool's numbers. Raises DatabaseUnavailable; never says zero for what it does not know."""
    with database.platform_snapshot() as tx:
        return of_pools(tx, [pool])[pool.name]


def of_pools(tx: PlatformTx, pools: Iterable[Pool]) -> dict[str, Numbers]:
    """The numbers of several pools, of one moment if the transaction is a snapshot."""
    wanted = list(pools)
    queues = counts.read(tx, {queue for pool in wanted for queue in pool.queues})
    due = counts.due_soon(tx, within_seconds=HORIZON_SECONDS)
    return {pool.name: _of_pool(pool, queues, due) for pool in wanted}


def _of_pool(pool: Pool, queues: Mapping[str, QueueCounts], due: Iterable[DueSoon]) -> Numbers:
    """Sums over the pool's queues; what may not start, since its queue is paused, is no work."""
    found = [queues[name] for name in pool.queues]
    flowing = [queue.load for queue in found if queue.paused_at is None]
    served = [queue.load.service for queue in found if queue.load.service is not None]
    samples = sum(service.attempts for service in served)
    mean = sum(service.mean_seconds * service.attempts for service in served) / samples if samples else 0.0
    squares = sum((s.stddev_seconds**2 + s.mean_seconds**2) * s.attempts for s in served) / samples if samples else 0.0
    open_queues = {queue.name for queue in found if queue.paused_at is None}
    return Numbers(
        runnable=sum(load.runnable for load in flowing),
        running=sum(queue.load.running for queue in found),
        oldest=max((load.oldest_seconds or 0.0 for load in flowing), default=0.0),
        arrivals=sum(load.arrivals_1m for load in flowing),
        arrivals_5m=sum(load.arrivals_5m for load in flowing),
        service_mean=mean,
        service_stddev=max(0.0, squares - mean * mean) ** 0.5,
        samples=samples,
        slots=pool.slots,
        held=sum(queue.load.runnable for queue in found if queue.paused_at is not None),
        workers=max((queue.workers for queue in found), default=0),
        due=tuple(Due(float(one.in_seconds), one.steps) for one in due if one.queue in open_queues),
    )
