"""KEDA's part of a decision, case by case from its documentation and source, never from what our code answers.

Where ours goes its own way on purpose, a test at the end says so.
"""

from collections.abc import Mapping

import pytest

from scheduler import policy
from scheduler.hpa import Reading
from scheduler.scaledobject import FORCED, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT
from tests.scheduler.hpa_cases import (
    FREE,
    UNLIMITED,
    Said,
    Settings,
    Story,
    average,
    behavior,
    broken,
    limits,
    pool,
)

DOCS = "KEDA docs, ScaledObject specification, "
PAUSES = "KEDA docs, Scaling Deployments, Pausing autoscaling"
EXECUTOR = "pkg/scaling/executor/scale_scaledobjects.go, "
REQUEST = EXECUTOR + "RequestScale"
REST = EXECUTOR + "scaleToZeroOrIdle"
WAKE = EXECUTOR + "scaleFromZeroOrIdle"
FALLBACK = "pkg/fallback/fallback.go, "
HPA = "controllers/keda/hpa.go, newHPAForScaledObject"
IDLE: list[Said] = [average(0)]
BUSY: list[Said] = [average(1)]
FAILS: list[Said] = [broken()]


def _story(
    name: str,
    source: str,
    why: str,
    replicas: int,
    *steps: tuple[float, list[Said], int],
    spec: Settings | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Story:
    return Story(
        name=name,
        source=source,
        why=why,
        replicas=replicas,
        steps=steps,
        spec=spec or {},
        annotations=annotations or {},
    )


def _fallback(replicas: int, after: int, kind: str = "static") -> Settings:
    return {"fallback": {"failureThreshold": after, "replicas": replicas, "behavior": kind}}


# A row is a case: the tables below are not for the formatter.
ACTIVATION = [
    _story("an active trigger wakes one replica", WAKE, "no minimum: 1", 0, (0, IDLE, 0), (30, BUSY, 1)),
    _story("an active trigger wakes the minimum", WAKE, "minimum 3", 0, (0, BUSY, 3), spec={"minReplicaCount": 3}),
    _story("one active trigger is enough", REQUEST, "any of them", 0, (0, [average(0), average(1, name="b")], 1)),
    _story("a trigger that fails does not keep an active one from waking", REQUEST, "active before error", 0,
           (0, [broken(), average(1)], 1)),
    _story("above zero the HPA decides", REQUEST, "active, 4 > 0: only the time is kept", 4, (0, [average(50)], 4)),
    _story("a minimum is kept without activity", REQUEST, "0 < 3", 0, (0, IDLE, 3), spec={"minReplicaCount": 3}),
    _story("a minimum is not reached for while a trigger fails", REQUEST, "isError comes before the minimum", 0,
           (0, FAILS, 0), spec={"minReplicaCount": 3}),
    _story("forced activation wakes without a trigger", REQUEST + ", NeedToForceActivation", "as if active", 0,
           (0, IDLE, 1), annotations={FORCED: "true"}),
    _story("forced activation keeps awake", REQUEST + ", NeedToForceActivation", "as if active", 3, (0, IDLE, 3),
           (9000, IDLE, 3), annotations={FORCED: "true"}),
]  # fmt: skip

COOLDOWN = [
    _story("to zero once the cooldown since the last activity is over", REST, "330-30=300 is not over, 301 is", 0,
           (0, BUSY, 1), (30, BUSY, 1), (60, IDLE, 1), (330, IDLE, 1), (331, IDLE, 0)),
    _story("activity begins the cooldown anew", REST, "500-290=210, 591-290=301", 0, (0, BUSY, 1), (200, IDLE, 1),
           (290, BUSY, 1), (500, IDLE, 1), (591, IDLE, 0)),
    _story("from many to zero in one step", REST, "301 > 300: none, not one less", 8, (0, BUSY, 8), (301, IDLE, 0)),
    _story("a cooldown of its own", DOCS + "cooldownPeriod", "60 is not over, 61 is", 2, (0, BUSY, 2), (60, IDLE, 2),
           (61, IDLE, 0), spec={"cooldownPeriod": 60}),
    _story("with a minimum the cooldown does nothing", DOCS + "cooldownPeriod", "only to zero", 5, (0, BUSY, 5),
           (1000, IDLE, 5), spec={"minReplicaCount": 1}),
    _story("never active, to zero at once", DOCS + "cooldownPeriod", "no last activity, initial 0", 3, (1, IDLE, 0)),
    _story("never active, to zero after the initial cooldown", DOCS + "initialCooldownPeriod", "120 is not over", 3,
           (60, IDLE, 3), (120, IDLE, 3), (121, IDLE, 0), spec={"initialCooldownPeriod": 120}),
    _story("once active, the initial cooldown is forgotten", REST, "61 > 60, whatever 600 says", 0, (0, BUSY, 1),
           (30, IDLE, 1), (61, IDLE, 0), spec={"initialCooldownPeriod": 600, "cooldownPeriod": 60}),
]  # fmt: skip

RESTING = [
    _story("idle replicas instead of the minimum", DOCS + "idleReplicaCount", "0 at rest, 2 active", 0, (0, IDLE, 0),
           (30, BUSY, 2), (330, IDLE, 2), (331, IDLE, 0), spec={"idleReplicaCount": 0, "minReplicaCount": 2}),
    _story("with idle replicas, activity lifts what is below the minimum", REQUEST, "1 < 3", 1, (0, BUSY, 3),
           spec={"idleReplicaCount": 0, "minReplicaCount": 3}),
    _story("the initial cooldown holds before resting too", REST, "100 is not over, 101 is", 2, (50, IDLE, 2),
           (100, IDLE, 2), (101, IDLE, 0),
           spec={"idleReplicaCount": 0, "minReplicaCount": 2, "initialCooldownPeriod": 100}),
    _story("what rests is not lifted to the minimum", REQUEST, "the minimum counts without idle replicas only", 0,
           (0, IDLE, 0), (900, IDLE, 0), spec={"idleReplicaCount": 0, "minReplicaCount": 2}),
]  # fmt: skip

PAUSING = [
    _story("paused, nothing goes", PAUSES, "as many as there are", 5, (1000, IDLE, 5), annotations={PAUSED: "true"}),
    _story("paused, nothing comes", PAUSES, "as many as there are", 0, (0, BUSY, 0), annotations={PAUSED: "true"}),
    _story("paused with a value of Go's", "NeedToBePausedByAnnotation, strconv.ParseBool", "T is true", 0, (0, BUSY, 0),
           annotations={PAUSED: "T"}),
    _story("not paused with false", PAUSES, "false is as if it were not there", 0, (0, BUSY, 1),
           annotations={PAUSED: "false"}),
    _story("paused at fewer", PAUSES, "3", 5, (0, BUSY, 3), annotations={PAUSED_REPLICAS: "3"}),
    _story("paused at more", PAUSES, "3", 0, (0, IDLE, 3), annotations={PAUSED_REPLICAS: "3"}),
    _story("paused at none", PAUSES, "0", 5, (0, BUSY, 0), annotations={PAUSED_REPLICAS: "0"}),
    _story("paused at a number, whatever else is said", PAUSES, "both: the number", 5, (0, BUSY, 2),
           annotations={PAUSED: "true", PAUSED_REPLICAS: "2"}),
    _story("paused at a number beyond the bounds", EXECUTOR + "GetPausedReplicaCount", "20, though at most 10", 5,
           (0, BUSY, 20), spec={"maxReplicaCount": 10}, annotations={PAUSED_REPLICAS: "20"}),
    _story("scaling in paused, zero is not reached", REST, "returns before the cooldown", 4, (0, BUSY, 4),
           (1000, IDLE, 4), annotations={PAUSED_SCALE_IN: "true"}),
    _story("scaling in paused, waking is not", WAKE, "1", 0, (0, BUSY, 1), annotations={PAUSED_SCALE_IN: "true"}),
    _story("scaling out paused, nothing wakes", WAKE, "returns before the count", 0, (0, BUSY, 0),
           annotations={PAUSED_SCALE_OUT: "true"}),
    _story("scaling out paused, zero is reached", REST, "301 > 300", 3, (0, BUSY, 3), (301, IDLE, 0),
           annotations={PAUSED_SCALE_OUT: "true"}),
]  # fmt: skip

ERRORS = [
    _story("an error never leads to zero", REQUEST, "isError, no fallback: nothing", 3, (1, FAILS, 3),
           (9000, FAILS, 3)),
    _story("an error beside an idle trigger neither", REQUEST, "isError, no fallback: nothing", 3,
           (9000, [average(0), broken()], 3)),
    _story("an error does not wake", REQUEST, "isError, no fallback: nothing", 0, (0, FAILS, 0)),
    _story("a fallback does not wake", REQUEST, "left to the HPA, which does nothing at zero", 0, (0, FAILS, 0),
           (30, FAILS, 0), (60, FAILS, 0), spec=_fallback(3, after=1)),
    _story("a fallback is not KEDA's to follow", REQUEST, "left to the HPA", 5, (0, FAILS, 5), (30, FAILS, 5),
           spec=_fallback(2, after=0)),
    _story("a fallback of none lets errors lead to zero, after the cooldown", REQUEST, "fallback.replicas != 0 fails",
           3, (0, BUSY, 3), (300, FAILS, 3), (301, FAILS, 0), spec=_fallback(0, after=3)),
]  # fmt: skip

POLLS = [*ACTIVATION, *COOLDOWN, *RESTING, *PAUSING, *ERRORS]


@pytest.mark.parametrize("story", POLLS, ids=[story.name for story in POLLS])
def test_a_poll_of_keda(story: Story) -> None:
    scaled, replicas = pool(story.spec, story.annotations), story.replicas
    memory = policy.first_memory(replicas, 0)
    for now, says, becomes in story.steps:
        replicas, memory, _ = policy.poll(scaled, memory, says, replicas, now)
        assert replicas == becomes, f"at {now} s: {story.why} ({story.source})"


FALLBACKS = [
    _story("the fallback begins once failures pass the threshold", FALLBACK + "GetMetricsWithFallback",
           "1, 2, 3 are not > 3; 4 is", 5, (0, FAILS, 5), (15, FAILS, 5), (30, FAILS, 5), (45, FAILS, 2),
           spec={**FREE, **_fallback(2, after=3)}),
    _story("a success begins the count anew", FALLBACK + "GetMetricsWithFallback", "1, 0, 1, then 2 > 1", 5,
           (0, FAILS, 5), (15, [average(5, name="broken")], 5), (30, FAILS, 5), (45, FAILS, 2),
           spec={**FREE, **_fallback(2, after=1)}),
    _story("each trigger has its own count", FALLBACK + "getHealthStatus by metric", "1 and 1 are not > 1", 5,
           (0, [broken("a"), average(1, name="b")], 5), (15, [average(1, name="a"), broken("b")], 5),
           (30, [broken("a"), average(1, name="b")], 5), spec={**FREE, **_fallback(2, after=1)}),
    _story("a threshold of none", FALLBACK + "GetMetricsWithFallback", "1 > 0", 2, (0, FAILS, 6),
           spec={**FREE, **_fallback(6, after=0)}),
    _story("current replicas", DOCS + "fallback.behavior", "5, not 2", 5, (0, FAILS, 5),
           spec={**FREE, **_fallback(2, 0, "currentReplicas")}),
    _story("current replicas if higher: they are", DOCS + "fallback.behavior", "max(6, 3)=6", 6, (0, FAILS, 6),
           spec={**FREE, **_fallback(3, 0, "currentReplicasIfHigher")}),
    _story("current replicas if higher: they are not", DOCS + "fallback.behavior", "max(2, 3)=3", 2, (0, FAILS, 3),
           spec={**FREE, **_fallback(3, 0, "currentReplicasIfHigher")}),
    _story("current replicas if lower: they are", DOCS + "fallback.behavior", "min(3, 6)=3", 3, (0, FAILS, 3),
           spec={**FREE, **_fallback(6, 0, "currentReplicasIfLower")}),
    _story("current replicas if lower: they are not", DOCS + "fallback.behavior", "min(8, 6)=6", 8, (0, FAILS, 6),
           spec={**FREE, **_fallback(6, 0, "currentReplicasIfLower")}),
    _story("a fallback waits for the window like any metric", FALLBACK + "doFallback: a metric to the HPA",
           "the 10 of the beginning counts until 299", 10, (0, FAILS, 10), (299, FAILS, 10), (300, FAILS, 4),
           spec={**behavior(), **_fallback(4, after=0)}),
    _story("a fallback keeps to the rates", FALLBACK + "doFallback: a metric to the HPA", "min(20, max(2*2, 2+4))=6", 2,
           (0, FAILS, 6), spec={**behavior(), **_fallback(20, after=0)}),
    _story("a fallback within the tolerance is none", FALLBACK + "doFallback: a metric to the HPA", "11/10=1.1", 10,
           (0, FAILS, 10), spec={**FREE, **_fallback(11, after=0)}),
    _story("a fallback is one metric of several", FALLBACK + "doFallback: a metric to the HPA", "max(2, 8)=8", 5,
           (0, [broken(), average(8)], 8), spec={**FREE, **_fallback(2, after=0)}),
    _story("with a fallback others may scale in", FALLBACK + "doFallback: a metric to the HPA", "max(3, 1)=3", 5,
           (0, [broken(), average(1)], 3), spec={**FREE, **_fallback(3, after=0)}),
]  # fmt: skip

TOGETHER = [
    _story("scaling in paused, the HPA takes nothing", HPA, "its behavior: scaleDown Disabled", 5, (0, BUSY, 5),
           (400, BUSY, 5), annotations={PAUSED_SCALE_IN: "true"}),
    _story("scaling in paused, the HPA gives by the default policies", HPA, "max(1*2, 1+4)=5, a behavior is written", 1,
           (0, [average(50)], 5), annotations={PAUSED_SCALE_IN: "true"}),
    _story("scaling out paused, the HPA gives nothing", HPA, "its behavior: scaleUp Disabled", 5, (0, [average(9)], 5),
           annotations={PAUSED_SCALE_OUT: "true"}),
    _story("scaling out paused, the HPA takes", HPA, "ceil(2/1)=2", 5, (0, [average(2)], 2),
           spec=behavior(down=UNLIMITED), annotations={PAUSED_SCALE_OUT: "true"}),
    _story("scaling out paused, a minimum is a bound", "horizontal.go, reconcileAutoscaler", "1 < 3, before behavior",
           1, (0, BUSY, 3), spec={"minReplicaCount": 3}, annotations={PAUSED_SCALE_OUT: "true"}),
    _story("all failing, all stays", "horizontal.go, computeReplicasForMetrics", "1 of 1 invalid", 4, (0, FAILS, 4),
           (9000, FAILS, 4)),
    _story("activation comes before what the metric asks for", "KEDA docs, Scaling Deployments, Activating and scaling",
           "40/10=4, but not active", 4, (1, [Reading("queue", 40, 10, active=False)], 0)),
    _story("a day: up with work, down by the window, away by the cooldown", REST + "; horizontal.go",
           "15: ceil(4/1); 30: 4 was asked 15 s ago; 315: only 0 in 300 s, at least 1; 316-15=301 > 300", 0,
           (0, BUSY, 1), (15, [average(4)], 4), (30, IDLE, 4), (315, IDLE, 1), (316, IDLE, 0), spec=behavior()),
]  # fmt: skip

DECISIONS = [*FALLBACKS, *TOGETHER]


@pytest.mark.parametrize("story", DECISIONS, ids=[story.name for story in DECISIONS])
def test_a_poll_of_keda_and_a_sync_of_the_hpa(story: Story) -> None:
    scaled, replicas = pool(story.spec, story.annotations), story.replicas
    memory = policy.first_memory(replicas, 0)
    for now, says, becomes in story.steps:
        made = policy.decide(scaled, memory, says, replicas, now)
        replicas, memory = made.wanted, made.memory
        assert replicas == becomes, f"at {now} s: {story.why} ({story.source})"


def test_a_pause_forgets_what_the_hpa_remembered() -> None:
    """KEDA deletes the HPA of a paused pool: 10 of before must not come back (scaledobject_controller.go)."""
    free, held = pool({}), pool({}, {PAUSED_REPLICAS: "2"})
    before = policy.decide(free, policy.first_memory(10, 0), [average(10)], 10, 0)
    paused = policy.decide(held, before.memory, [average(10)], before.wanted, 10)
    assert paused.wanted == 2
    assert policy.decide(free, paused.memory, [average(2)], paused.wanted, 20).wanted == 2


def test_our_own_way_the_hpa_has_its_say_in_the_call_that_wakes() -> None:
    """KEDA wakes one replica, and the HPA comes at its next sync: max(1*2, 1+4)=5 in the same call here."""
    scaled, memory = pool(behavior(up=limits(("Percent", 100, 15), ("Pods", 4, 15)))), policy.first_memory(0, 0)
    assert policy.poll(scaled, memory, [average(10)], 0, 0)[0] == 1
    assert policy.decide(scaled, memory, [average(10)], 0, 0).wanted == 5


def test_our_own_way_activity_beside_an_error_counts_for_the_cooldown() -> None:
    """KEDA's RequestScale does not note the time while any trigger fails, and would go to zero at 310 s."""
    scaled, memory = pool({}), policy.first_memory(2, 0)
    _, memory, _ = policy.poll(scaled, memory, [average(1)], 2, 0)
    _, memory, _ = policy.poll(scaled, memory, [average(1), broken()], 2, 300)
    assert policy.poll(scaled, memory, [average(0)], 2, 310)[0] == 2
    assert policy.poll(scaled, memory, [average(0)], 2, 601)[0] == 0
