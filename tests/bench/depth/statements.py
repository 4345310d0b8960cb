"""What the platform asks of the database, one after the other: how long it takes, and by which indexes.

Each act is carried out as the platform does it, in a transaction that is rolled back. What it asked is explained in
another one, in passing, so that a plan is that of the very statement.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import event

from storage import (
    at_work,
    counts,
    diagnosis,
    jobs,
    journal,
    listing,
    publishing,
    recent,
    replays,
    retention,
    runnable,
    standing,
    step_groups,
    stops,
)
from storage.batch_ids import BatchId
from storage.database import Database, PlatformTx
from storage.listing import JobFilter
from storage.model import JobState, TenantId, new_job_id
from storage.replays import DeadLetterFilter
from storage.step_groups import Success
from tasks.document import parse
from tasks.names import Priority, Queue
from tasks.submit import submit
from tests.bench.depth.fill import BATCH

TIMES = 5
SLOW_MS = 5.0  # of what takes less, no plan is told
QUEUES = [queue.value for queue in Queue]
RANKS = [priority.rank for priority in Priority]
ECHO = parse({"steps": {"say": {"kind": "echo", "message": "hello"}}})
KEPT = dict.fromkeys((JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED), 12 * 3600.0)
LARGE = ("jobs", "steps", "attempts", "events")  # tables that must not be read as a whole

_QUEUED = """
SELECT tenant_id, job_id, id FROM steps WHERE state = 'queued' AND published_at IS NULL AND queue = 'images'
ORDER BY priority, run_at LIMIT %(count)s
"""

Act = Callable[[PlatformTx], object]


@dataclass(kw_only=True, slots=True)
class Seen:
    """The median of `TIMES`, in ms; of the plans the blocks that were looked at, and what was read in which way."""

    ms: float
    blocks: int = 0
    indexes: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)  # large tables that were read from end to end
    plans: list[Any] = field(default_factory=list)


class _RolledBack(Exception):
    pass


def measure(database: Database, tenant: TenantId) -> Mapping[str, Seen]:
    """All acts by name."""
    return {name: _measure(database, act) for name, act in acts(tenant)}


def acts(tenant: TenantId) -> Iterator[tuple[str, Act]]:
    """What is measured: the path of a job, the loops, the pages, the numbers."""
    yield from _path(tenant)
    yield from _loops()
    yield from _pages(tenant)
    yield from _numbers()


def _path(tenant: TenantId) -> Iterator[tuple[str, Act]]:
    def submitted(tx: PlatformTx) -> object:
        return submit(tx.of(tenant), ECHO, job_id=new_job_id(), file=None)

    def claimed(tx: PlatformTx, count: int) -> Any:
        return step_groups.claim(tx, _queued(tx, count), worker="w", slot=1, lease_seconds=30)

    def finished(tx: PlatformTx, count: int) -> object:
        return step_groups.succeed(
            tx, [Success(claim=claim, result={"message": "hello"}) for claim in claimed(tx, count)]
        )

    def renewed(tx: PlatformTx) -> object:
        claims = claimed(tx, 20)
        return runnable.renew(tx, "w", [(one.tenant_id, one.step_id) for one in claims], lease_seconds=30)

    yield "submit", submitted
    yield "relay: take_to_publish 250", partial(publishing.take_to_publish, queue="images", limit=250)
    yield "claim 1", partial(claimed, count=1)
    yield "claim 20", partial(claimed, count=20)
    yield "claim and finish 1", partial(finished, count=1)
    yield "claim and finish 20", partial(finished, count=20)
    yield "claim and renew 20", renewed


def _queued(tx: PlatformTx, count: int) -> list[Any]:
    return [tuple(row) for row in tx.sql(_QUEUED, count=count)]


def _loops() -> Iterator[tuple[str, Act]]:
    yield "relay: take_lone", partial(publishing.take_lone, queues=QUEUES)
    yield "relay: room", partial(publishing.room, queues=QUEUES, window=1000)
    yield "relay: due", partial(runnable.make_due_queued, limit=1000)
    yield "relay: old hints", partial(runnable.queues_with_old_hints, queues=QUEUES, older_than_seconds=4)
    yield "relay: unpublish", partial(runnable.unpublish, queues=QUEUES, older_than_seconds=4, limit=250)
    yield "relay: unpublish_overtaken", partial(runnable.unpublish_overtaken, by_seconds=10, limit=250)
    yield "relay: unpublish_all", partial(runnable.unpublish_all, limit=5_000)
    yield "reaper: expired_leases", partial(runnable.expired_leases, limit=100)
    yield "reaper: overdue", partial(stops.overdue, limit=100)
    yield "worker: all_held", partial(runnable.all_held, worker="w")
    yield "counter: fold", partial(journal.fold, limit=20_000)
    yield "counter: correct (by hand)", journal.correct
    yield "retention: nothing is old", partial(retention.delete_old, kept_seconds=_in_days(400), limit=100)
    yield "retention: 100 jobs", partial(retention.delete_old, kept_seconds=KEPT, limit=100)


def _in_days(days: float) -> dict[JobState, float]:
    return dict.fromkeys(KEPT, days * 86400)


def _pages(tenant: TenantId) -> Iterator[tuple[str, Act]]:
    now = datetime.now(UTC)
    filters = {
        "no filter": JobFilter(),
        **{state.value: JobFilter(state=state) for state in JobState},
        "of a batch": JobFilter(batch=BatchId(BATCH)),
        "failed, of a batch": JobFilter(batch=BatchId(BATCH), state=JobState.FAILED),
        "kind of many": JobFilter(kind="echo"),
        "kind of none": JobFilter(kind="image.analyze"),
        "failed, kind of none": JobFilter(state=JobState.FAILED, kind="image.analyze"),
        "made before 6 h ago": JobFilter(created_before=now - timedelta(hours=6)),
        "made before last year": JobFilter(created_before=now - timedelta(days=365)),
        "made in a second": JobFilter(
            created_after=now - timedelta(hours=6), created_before=now - timedelta(hours=6, seconds=-1)
        ),
        "failed in a second": JobFilter(
            state=JobState.FAILED,
            created_after=now - timedelta(hours=6),
            created_before=now - timedelta(hours=6, seconds=-1),
        ),
    }
    for name, chosen in filters.items():
        yield f"list: {name}", partial(_page, tenant=tenant, chosen=chosen)
    letters = {
        "all": DeadLetterFilter(),
        "of a kind": DeadLetterFilter(kind="image.resize"),
        "of a reason": DeadLetterFilter(fingerprint="none"),
        "of an hour": DeadLetterFilter(failed_after=now - timedelta(hours=1)),
    }
    for name, few in letters.items():
        yield f"dead letters: {name}", partial(_letters, tenant=tenant, chosen=few)
    yield "replay: matching_jobs", lambda tx: replays.matching_jobs(tx.of(tenant), DeadLetterFilter())


def _page(tx: PlatformTx, tenant: TenantId, chosen: JobFilter) -> object:
    its = tx.of(tenant)
    found, _ = listing.listed(its, chosen, before=None, limit=20)
    return jobs.those(its, found), listing.kinds_of(its, found), jobs.filenames(its, found)


def _letters(tx: PlatformTx, tenant: TenantId, chosen: DeadLetterFilter) -> object:
    return replays.dead_letters(tx.of(tenant), chosen, limit=100)


def _numbers() -> Iterator[tuple[str, Act]]:
    yield "counts", partial(counts.read, queues=QUEUES)
    yield "counts: due_soon", partial(counts.due_soon, within_seconds=600)
    yield "overview: diagnosis", partial(diagnosis.read, queues=QUEUES)
    yield "live view: recent attempts", partial(recent.attempts, seconds=60, limit=200)
    yield "live view: at work", partial(at_work.running, workers=["w"])
    yield "metrics: relay lag", partial(standing.relay_lag_seconds, queues=QUEUES, ranks=RANKS)
    yield "metrics: dead letters", standing.dead_letters
    yield "metrics: pending deliveries", standing.pending_deliveries
    yield "metrics: late deliveries", standing.late_delivery_seconds
    yield "metrics: hosts down", standing.hosts_down


def _measure(database: Database, act: Act) -> Seen:
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        with _undone(database) as tx:
            act(tx)
            took.append(1000 * (time.perf_counter() - began))
    seen = explained(database, act)
    seen.ms = statistics.median(took)
    return seen


def explained(database: Database, act: Act) -> Seen:
    """How it is done, without its time."""
    seen = Seen(ms=0)
    with _undone(database) as tx:
        event.listen(tx.connection, "before_cursor_execute", partial(_explain, seen))
        act(tx)
    return seen


class _undone:  # noqa: N801 - used as a function
    """A transaction that leaves nothing."""

    def __init__(self, database: Database) -> None:
        self._begun = database.platform()

    def __enter__(self) -> PlatformTx:
        return self._begun.__enter__()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        try:
            self._begun.__exit__(kind or _RolledBack, value or _RolledBack(), trace)
        except _RolledBack:
            return


def _explain(seen: Seen, _connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
    words = statement.lstrip().upper()
    if not words.startswith(("SELECT", "WITH", "UPDATE", "INSERT", "DELETE")):
        return
    cursor.execute("SAVEPOINT before")
    cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
    [(plan,)] = cursor.fetchall()
    cursor.execute("ROLLBACK TO before")
    found = plan if isinstance(plan, list) else json.loads(plan)
    root = found[0]["Plan"]
    seen.plans.append({"statement": statement, "plan": found[0]})
    seen.blocks += root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    _look(seen, root)


def _look(seen: Seen, node: Mapping[str, Any]) -> None:
    if "Index Name" in node:
        seen.indexes.add(node["Index Name"])
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE:
        seen.whole.add(node["Relation Name"])
    for inner in node.get("Plans", ()):
        _look(seen, inner)


def tell(act: str, seen: Seen) -> None:
    """Print the plans of an act, node by node."""
    for one in seen.plans:
        if one["plan"]["Execution Time"] < SLOW_MS:
            continue
        print(f"\n== {act}: {one['plan']['Execution Time']:.1f} ms\n{one['statement'].strip()[:400]}")
        _tell_node(one["plan"]["Plan"], 0)


def _tell_node(node: Mapping[str, Any], depth: int) -> None:
    of = node.get("Index Name") or node.get("Relation Name") or node.get("Subplan Name") or ""
    rows = f"rows {node['Plan Rows']} → {node['Actual Rows']}, loops {node['Actual Loops']}"
    took = f"{node['Actual Total Time'] * node['Actual Loops']:.2f} ms"
    print(f"{'  ' * depth}{node['Node Type']} {of}: {rows}, {took}, filtered {node.get('Rows Removed by Filter', 0)}")
    for inner in node.get("Plans", ()):
        _tell_node(inner, depth + 1)
