"""What is named as a cause, and what is not: rules over facts that are made up here."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from storage import cause_rules, causes
from storage.causes import Cause, CauseCode, Severity, State
from storage.diagnosis_model import (
    Facts,
    FailingFacts,
    HostFacts,
    Part,
    PoolFacts,
    Probe,
    ProcessFacts,
    QueueFacts,
    Seen,
    WebhookFacts,
)
from storage.model import TenantId

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
LOOPS = dict.fromkeys(("relay", "reap", "sweep", "count", "fire", "batch", "deliver"), 1)
QUEUE = QueueFacts(name="images", workers=2, slots=4, runnable=7, running=4, oldest_seconds=2.0)
POOL = PoolFacts(name="images", replicas=2, wanted=2, least=1, most=4, asked=2, age_seconds=1.0, reason="2: 7 runnable")
WELL = Facts(
    at=NOW, queues=[QUEUE], pools=[POOL], processes=ProcessFacts(loops=LOOPS, scalers=1), workers=2, failed_last_hour=1
)
QUICK = [Probe(part=part, seconds=0.002) for part in Part]
GROUP = FailingFacts(
    queue="images",
    kind="image.resize",
    fingerprint="3f2a90c41b7d",
    code="not_an_image",
    message="the file is no picture",
    steps=3,
    tenants=1,
    oldest=NOW - timedelta(minutes=9),
    newest=NOW,
)
RECEIVER = WebhookFacts(
    tenant_id=TenantId("ten_a"),
    endpoint_id="whe_a",
    host="example.com",
    failing_since=NOW - timedelta(seconds=90),
    seconds=90.0,
    waiting=2,
    error="it answered 500",
)


def found(
    facts: Facts | None = WELL, probes: Sequence[Probe] = QUICK, hosts: Sequence[HostFacts] | None = ()
) -> list[Cause]:
    return cause_rules.find(Seen(at=NOW, facts=facts, probes=probes, hosts=hosts))


def codes(*args: object, **kwargs: object) -> list[str]:
    return [cause.code for cause in found(*args, **kwargs)]  # type: ignore[arg-type]


def of_queue(**changes: object) -> Facts:
    return replace(WELL, queues=[replace(QUEUE, **changes)])  # type: ignore[arg-type]


def of_pool(**changes: object) -> Facts:
    return replace(WELL, pools=[replace(POOL, **changes)])  # type: ignore[arg-type]


def failing(part: Part) -> list[Probe]:
    return [replace(probe, reason="nothing listens") if probe.part is part else probe for probe in QUICK]


def test_nothing_is_named_where_all_is_well() -> None:
    assert found() == []
    assert causes.state_of([]) is State.OK


@pytest.mark.parametrize(
    ("facts", "code", "subject"),
    [
        (of_queue(workers=0, slots=0, running=0, oldest_seconds=6.0), CauseCode.QUEUE_WITHOUT_WORKER, "images"),
        (of_queue(paused_at=NOW), CauseCode.QUEUE_PAUSED, "images"),
        (of_queue(paused_at=NOW, runnable=0, workers=0, oldest_seconds=None), CauseCode.QUEUE_PAUSED, "images"),
        (of_queue(oldest_seconds=61.0), CauseCode.QUEUE_OLD, "images"),
        (of_queue(unsent_seconds=6.0), CauseCode.RELAY_LAG, "images"),
        (replace(WELL, overdue_seconds=6.0), CauseCode.RELAY_LAG, "relay"),
        (of_pool(asked=9, wanted=4), CauseCode.SCALER_AT_MAXIMUM, "images"),
        (of_pool(age_seconds=61.0), CauseCode.SCALER_SILENT, "images"),
        (replace(WELL, failing=[GROUP]), CauseCode.POISON_FILES, "image.resize"),
        (replace(WELL, failing=[replace(GROUP, code="poison", steps=1)]), CauseCode.POISON_FILES, "image.resize"),
        (replace(WELL, webhooks=[RECEIVER]), CauseCode.WEBHOOK_FAILING, "example.com"),
        (replace(WELL, schedule_late_seconds=11.0), CauseCode.SCHEDULE_LATE, "fire"),
        (replace(WELL, webhook_late_seconds=31.0), CauseCode.WEBHOOK_LATE, "deliver"),
        (replace(WELL, silent_workers=1), CauseCode.WORKERS_LOSING_LEASES, "workers"),
        (replace(WELL, losing_steps=2), CauseCode.WORKERS_LOSING_LEASES, "workers"),
        (replace(WELL, processes=ProcessFacts(loops=LOOPS | {"relay": 0}, scalers=1)), CauseCode.RELAY_SILENT, "relay"),
        (replace(WELL, processes=ProcessFacts(loops=LOOPS | {"fire": 0}, scalers=1)), CauseCode.LOOP_SILENT, "fire"),
    ],
)
def test_each_trouble_is_named_alone(facts: Facts, code: CauseCode, subject: str) -> None:
    [cause] = found(facts)
    assert (cause.code, cause.subject) == (code, subject)
    assert cause.sentence.endswith(".")
    assert cause.hint


@pytest.mark.parametrize(
    "facts",
    [
        of_queue(workers=0, slots=0, running=0, oldest_seconds=4.0),  # the scaler is about to start one
        of_queue(workers=0, slots=0, running=0, runnable=0, oldest_seconds=None),  # it may rest at zero
        of_queue(unsent_seconds=4.0),
        of_pool(asked=4, wanted=4),  # as many as it asks for
        of_pool(asked=9, wanted=4, dry_run=True),
        of_pool(asked=9, wanted=3),  # on its way up
        replace(WELL, failing=[replace(GROUP, steps=2)]),
        replace(of_queue(ended_per_second=1.0), failing=[GROUP]),  # 3 of about 900
        replace(WELL, webhooks=[replace(RECEIVER, seconds=1.0)]),  # the next try may work
        replace(WELL, processes=None),  # nobody has told of any yet
    ],
)
def test_what_passes_by_itself_or_is_small_is_not_named(facts: Facts) -> None:
    assert found(facts) == []


@pytest.mark.parametrize("part", Part)
def test_a_server_that_does_not_answer_is_named_before_what_follows_from_it(part: Part) -> None:
    first, *_ = found(of_queue(paused_at=NOW), failing(part))
    assert (first.subject, first.severity) == (part, Severity.CRITICAL)
    assert "nothing listens" in first.sentence


def test_without_the_rows_the_servers_alone_are_told_of() -> None:
    assert codes(None, failing(Part.DATABASE)) == [CauseCode.DATABASE_DOWN]
    assert codes(None) == []


def test_a_database_is_slow_from_a_fifth_of_a_second_on_and_critical_from_one() -> None:
    def slow(seconds: float) -> list[Cause]:
        return found(probes=[Probe(part=Part.DATABASE, seconds=seconds)])

    assert slow(0.19) == []
    assert [(cause.code, cause.severity) for cause in slow(0.2)] == [(CauseCode.DATABASE_SLOW, Severity.WARNING)]
    assert [cause.severity for cause in slow(1.0)] == [Severity.CRITICAL]


def test_what_follows_from_a_broker_that_is_away_is_not_named_beside_it() -> None:
    behind = of_queue(unsent_seconds=40.0, oldest_seconds=90.0)
    assert codes(behind, failing(Part.BROKER)) == [CauseCode.BROKER_DOWN]
    assert codes(behind) == [CauseCode.RELAY_LAG]


def test_where_no_pool_could_give_it_a_worker_a_queue_is_stuck_at_once() -> None:
    alone = of_queue(workers=0, slots=0, running=0, oldest_seconds=6.0)
    assert [cause.severity for cause in found(alone)] == [Severity.WARNING]
    assert [cause.severity for cause in found(replace(alone, pools=[]))] == [Severity.CRITICAL]


def test_a_host_is_named_while_steps_wait_for_it_or_a_probe_is_to_come() -> None:
    down = HostFacts(host="crm.example:443", tenants=2, waiting=0, probe_in_seconds=0.0)
    assert codes(hosts=[down]) == []
    assert codes(hosts=[replace(down, probe_in_seconds=3.0)]) == [CauseCode.BREAKER_OPEN]
    [cause] = found(replace(WELL, held={"crm.example:443": 40}), hosts=[down])
    assert "40 steps wait" in cause.sentence


def test_hosts_are_told_by_the_steps_that_wait_where_the_budget_cannot_be_asked() -> None:
    held = replace(WELL, held={"crm.example:443": 1})
    assert codes(held, hosts=None) == [CauseCode.BREAKER_OPEN]
    assert codes(held, hosts=[]) == []  # the budget says that it is up: they are about to go


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")]
)
def test_times_are_told_in_one_unit(seconds: float, words: str) -> None:
    assert causes.lasting(seconds) == words


_AGES = some.none() | some.floats(0, 1e6)
_QUEUES = some.builds(
    QueueFacts,
    name=some.sampled_from(["images", "ai"]),
    paused_at=some.none() | some.just(NOW),
    workers=some.integers(0, 2),
    slots=some.integers(0, 4),
    runnable=some.integers(0, 9),
    running=some.integers(0, 4),
    oldest_seconds=_AGES,
    unsent_seconds=_AGES,
)
_FACTS = some.builds(
    Facts,
    at=some.just(NOW),
    queues=some.lists(_QUEUES, max_size=3),
    pools=some.lists(
        some.builds(
            PoolFacts,
            name=some.just("images"),
            reason=some.just("why"),
            trouble=some.none(),
            age_seconds=some.floats(0, 1e5),
            asked=some.none() | some.integers(0, 9),
        ),
        max_size=1,
    ),
    failing=some.lists(some.just(GROUP), max_size=2),
    webhooks=some.lists(some.just(RECEIVER), max_size=2),
    held=some.dictionaries(some.sampled_from(["a:1", "b:2"]), some.integers(1, 9)),
    processes=some.none()
    | some.builds(
        ProcessFacts,
        loops=some.dictionaries(some.sampled_from(sorted(LOOPS)), some.integers(0, 2)),
        scalers=some.integers(0, 1),
    ),
    overdue_seconds=_AGES,
    schedule_late_seconds=_AGES,
    webhook_late_seconds=_AGES,
    oldest_transaction_seconds=_AGES,
)


@given(
    facts=some.none() | _FACTS,
    probes=some.lists(
        some.builds(
            Probe, part=some.sampled_from(Part), seconds=some.floats(0, 3), reason=some.none() | some.just("away")
        ),
        max_size=3,
        unique_by=lambda probe: probe.part,
    ),
)
def test_whatever_is_seen_causes_are_whole_and_the_worst_come_first(facts: Facts | None, probes: list[Probe]) -> None:
    named = found(facts, probes)
    severe = [cause.severity is Severity.CRITICAL for cause in named]
    assert severe == sorted(severe, reverse=True)
    assert causes.state_of(named) is (State.STUCK if any(severe) else State.DEGRADED if named else State.OK)
    for cause in named:
        assert cause.subject
        assert cause.sentence.endswith(".")
        assert cause.since is None or cause.since <= NOW
        assert all(isinstance(value, str | int | float | None) for value in cause.facts.values())


def test_every_code_has_its_section_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "stuck.md").read_text(encoding="utf-8")
    titled = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert set(CauseCode) <= set(titled)
