"""What is stuck, and why: the causes that the overview tells, found from here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from deploy.doctor.findings import Finding, Level, ok
from storage import cause_rules
from storage.causes import Cause, Severity
from storage.diagnosis_model import Facts, HostFacts, Probe, Seen

ABOUT = "work"

_LEVELS: Mapping[Severity, Level] = {Severity.CRITICAL: Level.FAIL, Severity.WARNING: Level.WARN}


def check(facts: Facts | None, probes: Sequence[Probe], hosts: Sequence[HostFacts] | None) -> list[Finding]:
    """A finding for each cause, or that there is none."""
    causes = cause_rules.find(Seen(at=datetime.now(UTC), facts=facts, probes=probes, hosts=hosts))
    found = [_finding(cause) for cause in causes]
    if facts is None:
        return found  # what the rows say is not known: the check of the database says why
    if not found:
        running = sum(queue.running for queue in facts.queues)
        runnable = sum(queue.runnable for queue in facts.queues)
        return [ok(ABOUT, f"Nothing is stuck: {running} steps run, {runnable} may run and wait for a slot.")]
    return found


def _finding(cause: Cause) -> Finding:
    since = {} if cause.since is None else {"since": cause.since.isoformat()}
    return Finding(
        about=ABOUT,
        level=_LEVELS[cause.severity],
        sentence=cause.sentence,
        mend=cause.hint,
        code=cause.code,
        facts={"subject": cause.subject, **since, **cause.facts},
    )
