"""The part of `/metrics` that tells of schedules: what became of their firings, how late they were, what is due."""

import math
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from storage.firing_counts import BOUNDS, FiringCounts, Standing
from storage.schedule_model import ScheduleState


def families(counted: FiringCounts, standing: Standing) -> Iterator[Metric]:
    """Counters of all firings so far, which deleting schedules does not lower, and how schedules stand now."""
    yield _outcomes(counted)
    yield _lateness(counted)
    yield _schedules(standing)
    yield GaugeMetricFamily(
        "millrace_firings_waiting",
        "Firings that wait for the end of an earlier firing's job.",
        value=standing.waiting,
    )
    due = GaugeMetricFamily(
        "millrace_schedule_next_due_seconds",
        "Seconds until the next schedule is due; below 0 it is overdue by so much: nobody fires, or not fast enough."
        " Absent while none is due at all.",
        labels=(),
    )
    if standing.next_seconds is not None:
        due.add_metric((), standing.next_seconds)
    yield due


def _outcomes(counted: FiringCounts) -> Metric:
    family = CounterMetricFamily(
        "millrace_firings",
        "Firings by what became of them: started, buffered (to be started, or skipped, later, and then counted as that"
        " as well), skipped by a rule of the schedule's own, missed because nobody was there, failed because the job"
        " could not be written.",
        labels=("outcome",),
    )
    for outcome, firings in counted.by_outcome.items():
        family.add_metric((outcome.value,), firings)
    return family


def _lateness(counted: FiringCounts) -> Metric:
    family = HistogramMetricFamily(
        "millrace_firing_lateness_seconds",
        "How long after they were due firings started, of those that nothing but the platform could delay: neither"
        " buffered, nor triggered, nor of a backfill.",
        labels=(),
    )
    totals = zip(BOUNDS, accumulate(counted.by_lateness), strict=True)
    buckets = [("+Inf" if math.isinf(bound) else str(bound), float(total)) for bound, total in totals]
    family.add_metric((), buckets, counted.late_seconds)
    return family


def _schedules(standing: Standing) -> Metric:
    family = GaugeMetricFamily("millrace_schedules", "Schedules by state.", labels=("state",))
    numbers = {
        ScheduleState.ACTIVE: standing.active,
        ScheduleState.PAUSED: standing.paused,
        ScheduleState.ENDED: standing.ended,
    }
    for state, number in numbers.items():
        family.add_metric((state.value,), number)
    return family
