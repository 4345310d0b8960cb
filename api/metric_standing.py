"""The part of `/metrics` that tells how the platform stands besides its queues: what waits, what failed, who lives."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from weakref import WeakKeyDictionary

from prometheus_client.core import GaugeMetricFamily, Metric

from storage import standing
from storage.database import Database, PlatformTx
from storage.standing import Pending
from tasks.names import Priority, Queue

SHARE = 0.02  # of the time may go into the counts that look at many rows: what they found is kept for the rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What takes a look at many rows to know, though at a bounded number; `dead_letters` by kind."""

    dead_letters: Mapping[str, int]
    pending: Pending
    late_seconds: float
    failing_endpoints: int
    hosts_down: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What one scrape tells; `processes` by role."""

    relay_lag_seconds: float
    counted: Counted
    processes: Mapping[str, int]


@dataclass(kw_only=True, slots=True)
class _Kept:
    """The last counts of one database; one scrape at a time counts anew."""

    counted: Counted | None = None
    until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


_kept: WeakKeyDictionary[Database, _Kept] = WeakKeyDictionary()


def read(tx: PlatformTx, database: Database) -> Standing:
    """How it stands now; the counts as they were a moment ago if they take long: see SHARE."""
    return Standing(
        relay_lag_seconds=standing.relay_lag_seconds(tx, Queue, [priority.rank for priority in Priority]),
        counted=_counted(tx, _kept.setdefault(database, _Kept())),
        processes=standing.processes(tx),
    )


def _counted(tx: PlatformTx, kept: _Kept) -> Counted:
    with kept.lock:
        began = time.monotonic()
        if kept.counted is None or began >= kept.until:
            kept.counted = Counted(
                dead_letters=standing.dead_letters(tx),
                pending=standing.pending_deliveries(tx),
                late_seconds=standing.late_delivery_seconds(tx),
                failing_endpoints=standing.failing_endpoints(tx),
                hosts_down=standing.hosts_down(tx),
            )
            ended = time.monotonic()
            kept.until = ended + (ended - began) / SHARE
        return kept.counted


def families(seen: Standing) -> Iterator[Metric]:
    """Gauges, the same from each API process."""
    yield _one(
        "relay_lag_seconds",
        "Age of the oldest step that may run, is not paused and was not sent to the broker although there is room for"
        " it; 0 if there is none.",
        seen.relay_lag_seconds,
    )
    counted = seen.counted
    yield _by(
        "dead_letters",
        f"Steps that failed for good and are kept, by kind; at most {standing.MOST} are counted.",
        "kind",
        counted.dead_letters,
    )
    yield _one(
        "webhook_deliveries_pending",
        f"Webhook deliveries that have still to be made; at most {standing.MOST} are counted.",
        counted.pending.deliveries,
    )
    yield _one(
        "webhook_oldest_pending_seconds",
        "Age of the oldest event that has still to be delivered; 0 if there is none.",
        counted.pending.oldest_seconds,
    )
    yield _one(
        "webhook_late_seconds",
        "For how long the delivery that is most overdue has been due; receivers that fail do not count; 0 if none is.",
        counted.late_seconds,
    )
    yield _one(
        "webhook_endpoints_failing",
        "Webhook endpoints whose latest deliveries failed and that are not disabled.",
        counted.failing_endpoints,
    )
    yield _one(
        "breakers_open",
        "Hosts for which steps wait because the latest calls to them failed.",
        len(counted.hosts_down),
    )
    yield _by("processes", "Processes that live, by role; a worker counts once.", "role", seen.processes)
    yield _by("build_info", "1, for the version of the API that tells.", "version", {version("millrace"): 1})


def _one(name: str, what: str, number: float) -> Metric:
    return GaugeMetricFamily(f"millrace_{name}", what, value=float(number))


def _by(name: str, what: str, label: str, numbers: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"millrace_{name}", what, labels=(label,))
    for value, number in numbers.items():
        family.add_metric((value,), float(number))
    return family
