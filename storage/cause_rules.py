"""The rules by which causes are found: what is stuck by itself is told, what only follows from it is not. Pure."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from storage import cause_rules_work as work
from storage.causes import Cause, CauseCode, Severity, lasting, ordered
from storage.diagnosis_model import Facts, Part, Probe, ProcessFacts, Seen

SLOW_SECONDS = 0.2  # a round trip to the database; one within a data centre takes a hundredth of it
VERY_SLOW_SECONDS = 1.0
LAG_SECONDS = 5.0  # the relay looks every second
LONG_LAG_SECONDS = 30.0
SCALER_SILENT_SECONDS = 60.0  # it decides every few seconds
SCHEDULE_LATE_SECONDS = 10.0
WEBHOOK_LATE_SECONDS = 30.0
VERY_LATE_SECONDS = 60.0

_LOOPS = {
    "reap": "steps of workers that died are not taken back, and deadlines pass unnoticed",
    "fire": "schedules do not fire",
    "batch": "batches are neither ended nor canceled",
    "deliver": "webhooks are not delivered",
    "count": "the numbers of the queues grow dear to read",
    "sweep": "objects that nobody needs stay",
}

_DOWN = {
    Part.DATABASE: (
        CauseCode.DATABASE_DOWN,
        "The database does not answer",
        "Nothing can be accepted or done without it. See whether it runs and can be reached from here: DATABASE_URL.",
    ),
    Part.BROKER: (
        CauseCode.BROKER_DOWN,
        "The broker does not take messages",
        "Jobs are still accepted and wait in the database; they go on by themselves when it is back. See whether it"
        " runs, has memory left and can be reached: CELERY_BROKER_URL.",
    ),
    Part.OBJECTS: (
        CauseCode.OBJECTS_DOWN,
        "The object store does not answer",
        "Uploads are refused, and steps with files are tried again later. See whether it runs, and whether bucket and"
        " keys are right: STORAGE_URL, AWS_….",
    ),
}


def find(seen: Seen) -> list[Cause]:
    """All causes, the worst first."""
    found = list(_of_probes(seen.probes, seen.facts))
    if seen.facts is not None:
        found += _of_loops(seen.facts, {cause.code for cause in found})
        found += work.of_queues(seen.facts, {(cause.code, cause.subject) for cause in found})
        found += work.of_work(seen.facts, seen.hosts)
    return ordered(found)


def is_trouble(probe: Probe) -> bool:
    """Whether the server is a cause of anything by itself."""
    return next(_of_probes([probe], None), None) is not None


def _of_probes(probes: Sequence[Probe], facts: Facts | None) -> Iterator[Cause]:
    for probe in probes:
        if probe.reason is not None:
            code, words, hint = _DOWN[probe.part]
            yield Cause(
                code=code,
                severity=Severity.CRITICAL,
                subject=probe.part,
                sentence=f"{words}: {probe.reason}.",
                hint=hint,
                since=probe.since,
                facts={"reason": probe.reason},
            )
        elif probe.part is Part.DATABASE and probe.seconds >= SLOW_SECONDS:
            yield _slow(probe, facts)


def _slow(probe: Probe, facts: Facts | None) -> Cause:
    oldest = None if facts is None else facts.oldest_transaction_seconds
    return Cause(
        code=CauseCode.DATABASE_SLOW,
        severity=Severity.CRITICAL if probe.seconds >= VERY_SLOW_SECONDS else Severity.WARNING,
        subject=probe.part,
        sentence=f"The database answers slowly: a round trip takes {probe.seconds * 1000:.0f} ms.",
        hint="Every step takes several. Look at the network in between, at its CPU and disks, and at long transactions:"
        " pg_stat_activity.",
        since=probe.since,
        facts={
            "round_trip_seconds": round(probe.seconds, 3),
            "oldest_transaction_seconds": None if oldest is None else round(oldest, 1),
            "waiting_for_locks": None if facts is None else facts.waiting_for_locks,
        },
    )


def _of_loops(facts: Facts, told: set[CauseCode]) -> Iterator[Cause]:
    """What has no process that does it, or does it late; the relay is not to blame while the broker is away."""
    found: list[Cause] = []
    if facts.processes is not None:
        found += _silent(facts.processes, has_schedules=facts.schedule_late_seconds is not None)
    if not found and not told & {CauseCode.BROKER_DOWN, CauseCode.DATABASE_SLOW}:
        found += _lag(facts)
    yield from found
    silent = {cause.subject for cause in found}
    yield from _of_pools(facts)
    if "fire" not in silent and (facts.schedule_late_seconds or 0) > SCHEDULE_LATE_SECONDS:
        yield _late(
            facts,
            CauseCode.SCHEDULE_LATE,
            "fire",
            facts.schedule_late_seconds or 0.0,
            "A schedule has been due for {} and has not fired.",
            "The loop `fire` lives and does not get there: its process's log says why (loop.interrupted, loop.failed).",
        )
    if "deliver" not in silent and (facts.webhook_late_seconds or 0) > WEBHOOK_LATE_SECONDS:
        yield _late(
            facts,
            CauseCode.WEBHOOK_LATE,
            "deliver",
            facts.webhook_late_seconds or 0.0,
            "A webhook has been due for {} and has not been tried.",
            "The loop `deliver` does not get there: its process's log says why (deliver.off: SECRET_KEY is not set).",
        )


def _silent(processes: ProcessFacts, *, has_schedules: bool) -> Iterator[Cause]:
    if not processes.loops.get("relay"):
        yield Cause(
            code=CauseCode.RELAY_SILENT,
            severity=Severity.CRITICAL,
            subject="relay",
            sentence="No process relays: workers are not told of steps that may run.",
            hint="Start `python -m scheduler run` (or `relay`). If it is there, its log says why it does not come up.",
        )
    for loop, consequence in _LOOPS.items():
        if not processes.loops.get(loop):
            is_bad = loop in ("reap", "deliver") or (loop == "fire" and has_schedules)
            yield Cause(
                code=CauseCode.LOOP_SILENT,
                severity=Severity.CRITICAL if is_bad else Severity.WARNING,
                subject=loop,
                sentence=f"No process keeps the loop `{loop}`: {consequence}.",
                hint=f"Start `python -m scheduler run` (or `{loop}`). If it is there, its log says why it does not"
                " come up.",
            )


def _lag(facts: Facts) -> Iterator[Cause]:
    lags = [(queue.unsent_seconds, queue.name) for queue in facts.queues if queue.unsent_seconds is not None]
    if facts.overdue_seconds is not None:
        lags.append((facts.overdue_seconds, "relay"))
    if not lags or max(lags)[0] <= LAG_SECONDS:
        return
    seconds, subject = max(lags)
    yield Cause(
        code=CauseCode.RELAY_LAG,
        severity=Severity.CRITICAL if seconds >= LONG_LAG_SECONDS else Severity.WARNING,
        subject=subject,
        sentence=f"A step has been ready to run for {lasting(seconds)}, and no worker has been told of it.",
        hint="The relay is late, or cannot reach the broker: its process's log says why (loop.interrupted).",
        since=facts.at - timedelta(seconds=seconds),
        facts={"lag_seconds": round(seconds, 1)},
    )


def _of_pools(facts: Facts) -> Iterator[Cause]:
    for pool in facts.pools:
        if pool.age_seconds > SCALER_SILENT_SECONDS:
            yield Cause(
                code=CauseCode.SCALER_SILENT,
                severity=Severity.WARNING,
                subject=pool.name,
                sentence=f"The scaler has not decided about the pool '{pool.name}' for {lasting(pool.age_seconds)}.",
                hint="Its workers stay as they are. See whether `python -m scheduler scale` runs and reaches the"
                " database; its log says so.",
                since=facts.at - timedelta(seconds=pool.age_seconds),
                facts={"age_seconds": round(pool.age_seconds, 1), "scalers": _scalers(facts.processes)},
            )
        elif pool.asked is not None and pool.asked > pool.most <= pool.wanted and not pool.dry_run:
            yield Cause(
                code=CauseCode.SCALER_AT_MAXIMUM,
                severity=Severity.WARNING,
                subject=pool.name,
                sentence=f"The pool '{pool.name}' is at its maximum of {pool.most}; its work asks for {pool.asked}.",
                hint="Raise maxReplicaCount in its file, give a replica more slots, or let it wait.",
                facts={
                    "asked": pool.asked,
                    "most": pool.most,
                    "replicas": pool.replicas,
                    "reason": pool.reason,
                },
            )


def _late(facts: Facts, code: CauseCode, loop: str, seconds: float, sentence: str, hint: str) -> Cause:
    return Cause(
        code=code,
        severity=Severity.CRITICAL if seconds >= VERY_LATE_SECONDS else Severity.WARNING,
        subject=loop,
        sentence=sentence.format(lasting(seconds)),
        hint=hint,
        since=facts.at - timedelta(seconds=seconds),
        facts={"late_seconds": round(seconds, 1)},
    )


def _scalers(processes: ProcessFacts | None) -> int | None:
    return None if processes is None else processes.scalers
