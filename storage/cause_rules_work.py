"""The rules about the work itself: queues that do not move, steps that fail, receivers that do not answer. Pure."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta

from storage.causes import Cause, CauseCode, Severity, lasting, steps
from storage.diagnosis_model import Facts, FailingFacts, HostFacts, PoolFacts, QueueFacts, WebhookFacts

SERVED_WITHIN_SECONDS = 5.0  # a queue with work and without a worker is named after this,
UNSERVED_SECONDS = 60.0  # and is critical after this, or at once where no pool could give it one
OLD_SECONDS = 60.0
VERY_OLD_SECONDS = 900.0
POISON_STEPS = 3  # of one reason, within a quarter of an hour,
POISON_SHARE = 0.05  # and of what the queue has ended meanwhile
FAILING_SECONDS = 3.0  # a receiver that failed once may work at the next try

_KILLERS = frozenset({"poison"})  # one that kills workers is enough
_FIVE_MINUTES = 300.0
_LATELY = 900.0
_UNANSWERED = frozenset({CauseCode.DATABASE_SLOW, CauseCode.BROKER_DOWN, CauseCode.RELAY_SILENT, CauseCode.RELAY_LAG})


def of_queues(facts: Facts, told: set[tuple[CauseCode, str]]) -> Iterator[Cause]:
    """What keeps each queue; that it is old is told only where nothing else explains it."""
    pools = {pool.name: pool for pool in facts.pools}
    is_explained = bool(_UNANSWERED & {code for code, _ in told})
    for queue in facts.queues:
        pool = pools.get(queue.name)
        if queue.paused_at is not None:
            yield _paused(queue)
        elif queue.workers == 0 and queue.runnable and (queue.oldest_seconds or 0) >= SERVED_WITHIN_SECONDS:
            yield _unserved(facts, queue, pool)
        elif not is_explained and (queue.oldest_seconds or 0) >= OLD_SECONDS:
            yield _old(facts, queue, pool)


def of_work(facts: Facts, hosts: Sequence[HostFacts] | None) -> Iterator[Cause]:
    """What fails, who does not answer, which workers vanish."""
    ended = {queue.name: queue.ended_per_second for queue in facts.queues}
    for group in facts.failing:
        if _is_poison(group, ended.get(group.queue, 0.0)):
            yield _poison(group)
    yield from _hosts(facts, hosts)
    for receiver in facts.webhooks:
        if receiver.seconds >= FAILING_SECONDS:
            yield _receiver(receiver)
    if facts.silent_workers or facts.losing_steps:
        yield _losing(facts)


def _paused(queue: QueueFacts) -> Cause:
    waiting = f"{steps(queue.runnable)} {_wait(queue.runnable)} in it" if queue.runnable else "nothing waits in it"
    return Cause(
        code=CauseCode.QUEUE_PAUSED,
        severity=Severity.WARNING,
        subject=queue.name,
        sentence=f"The queue '{queue.name}' is paused; {waiting}.",
        hint=f"Somebody has paused it (the audit log says who): `millrace resume {queue.name}` lets it go on.",
        since=queue.paused_at,
        facts={"runnable": queue.runnable, "running": queue.running},
    )


def _unserved(facts: Facts, queue: QueueFacts, pool: PoolFacts | None) -> Cause:
    seconds = queue.oldest_seconds or 0.0
    wanted = pool.wanted if pool is not None else 0
    if pool is None:
        hint = f"Start a worker of this queue, or a pool of it: `celery -A tasks.app worker -Q {queue.name}`."
    elif pool.trouble:
        hint = f"The scaler says: {pool.trouble}."
    elif wanted == 0:
        hint = f"The scaler wants none: {_why(pool)}. `millrace pools {queue.name}` says more."
    else:
        hint = f"The scaler wants {wanted}: if none comes up within a minute, the worker's log says why."
    is_coming = pool is not None and pool.most > 0 and seconds < UNSERVED_SECONDS
    return Cause(
        code=CauseCode.QUEUE_WITHOUT_WORKER,
        severity=Severity.WARNING if is_coming else Severity.CRITICAL,
        subject=queue.name,
        sentence=f"No worker serves the queue '{queue.name}', and {steps(queue.runnable)} {_wait(queue.runnable)} in"
        f" it, the oldest for {lasting(seconds)}.",
        hint=hint,
        since=facts.at - timedelta(seconds=seconds),
        facts={"runnable": queue.runnable, "oldest_seconds": round(seconds, 1), "wanted_replicas": wanted},
    )


def _old(facts: Facts, queue: QueueFacts, pool: PoolFacts | None) -> Cause:
    seconds = queue.oldest_seconds or 0.0
    if queue.running >= queue.slots:
        hint = f"All {queue.slots} slots are busy: more comes than the workers can do."
        hint += f" The scaler says: {pool.reason}." if pool is not None else ""
    else:
        hint = "Slots are free: these workers are busy with another queue of theirs, or hang. See `millrace top`."
    return Cause(
        code=CauseCode.QUEUE_OLD,
        severity=Severity.CRITICAL if seconds >= VERY_OLD_SECONDS else Severity.WARNING,
        subject=queue.name,
        sentence=f"The oldest of {steps(queue.runnable)} in the queue '{queue.name}' has waited for"
        f" {lasting(seconds)}.",
        hint=hint,
        since=facts.at - timedelta(seconds=seconds),
        facts={
            "runnable": queue.runnable,
            "running": queue.running,
            "slots": queue.slots,
            "oldest_seconds": round(seconds, 1),
        },
    )


def _is_poison(group: FailingFacts, ended_per_second: float) -> bool:
    if group.code in _KILLERS:
        return True
    return group.steps >= POISON_STEPS and group.steps >= POISON_SHARE * ended_per_second * _LATELY


def _poison(group: FailingFacts) -> Cause:
    kills = group.code in _KILLERS
    alone = f"of the tenant '{group.tenant}'" if group.tenant else "of one tenant"
    whose = alone if group.tenants == 1 else f"of {group.tenants} tenants"
    millrace = "millrace" if group.tenant is None else f"millrace --tenant {shlex.quote(group.tenant)}"
    return Cause(
        code=CauseCode.POISON_FILES,
        severity=Severity.CRITICAL if kills else Severity.WARNING,
        subject=group.kind,
        sentence=f"{steps(group.steps)} of '{group.kind}' {whose} failed for one reason lately ({group.code}):"
        f" {group.message.rstrip('.')}.",
        hint=f"See them with `{millrace} dead-letters --fingerprint {group.fingerprint}`; what is mended runs again"
        f" with `{millrace} replay --fingerprint {group.fingerprint} --percent 5`.",
        since=group.oldest,
        facts={
            "fingerprint": group.fingerprint,
            "code": group.code,
            "steps": group.steps,
            "tenants": group.tenants,
            "tenant": group.tenant,
            "newest": group.newest.isoformat(),
        },
    )


def _hosts(facts: Facts, hosts: Sequence[HostFacts] | None) -> Iterator[Cause]:
    """By the budget that the workers share; where that cannot be asked, by the steps that wait."""
    if hosts is None:
        hosts = [
            HostFacts(host=host, tenants=0, waiting=waiting, probe_in_seconds=0.0)
            for host, waiting in facts.held.items()
        ]
    for one in hosts:
        waiting = max(one.waiting, facts.held.get(one.host, 0))
        if not waiting and not one.probe_in_seconds:
            continue  # nobody wants to call it any more
        yield Cause(
            code=CauseCode.BREAKER_OPEN,
            severity=Severity.WARNING,
            subject=one.host,
            sentence=f"Calls to {one.host} are held back, since the latest failed; {steps(waiting)}"
            f" {_wait(waiting)} for it.",
            hint="It is the third party: one call at a time finds out whether it is up again, and then all go on."
            " `millrace job JOB` shows what it last said.",
            facts={
                "waiting": waiting,
                "tenants": one.tenants or None,
                "probe_in_seconds": round(one.probe_in_seconds, 1),
            },
        )


def _receiver(receiver: WebhookFacts) -> Cause:
    said = f": {receiver.error}" if receiver.error else ""
    which = receiver.endpoint_id or "`notify` of jobs"
    see = f": `millrace webhooks deliveries {receiver.endpoint_id}` shows when" if receiver.endpoint_id else ""
    deliveries = "1 delivery waits" if receiver.waiting == 1 else f"{receiver.waiting} deliveries wait"
    return Cause(
        code=CauseCode.WEBHOOK_FAILING,
        severity=Severity.WARNING,
        subject=receiver.host,
        sentence=f"{receiver.host} has not taken webhooks for {lasting(receiver.seconds)}{said}; {deliveries}.",
        hint=f"The receiver's owner has to mend it. What waits is tried for days, and the next event at once{see}.",
        since=receiver.failing_since,
        facts={
            "endpoint": receiver.endpoint_id,
            "tenant": receiver.tenant_id,
            "what": which,
            "waiting": receiver.waiting,
            "failing_seconds": round(receiver.seconds, 1),
        },
    )


def _losing(facts: Facts) -> Cause:
    workers = "1 worker" if facts.silent_workers == 1 else f"{facts.silent_workers} workers"
    parts = []
    if facts.silent_workers:
        parts.append(f"{workers} fell silent within the last {lasting(_FIVE_MINUTES)}")
    if facts.losing_steps:
        have = "has" if facts.losing_steps == 1 else "have"
        parts.append(f"{steps(facts.losing_steps)} {have} lost a worker and run again")
    return Cause(
        code=CauseCode.WORKERS_LOSING_LEASES,
        severity=Severity.WARNING,
        subject="workers",
        sentence=f"{', and '.join(parts)}.",
        hint="They were killed (memory?), hang, or are cut off from the database: see the workers' logs and the"
        " machine's. What they held runs again elsewhere.",
        facts={"silent_workers": facts.silent_workers, "steps": facts.losing_steps},
    )


def _why(pool: PoolFacts) -> str:
    """The scaler's reason without the number that it begins with."""
    number, _, why = pool.reason.partition(": ")
    return why if number.isdecimal() else pool.reason


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"
