"""The HPA's one decision, case by case from Kubernetes' documentation and source, never from what our code answers."""

import pytest

from scheduler import policy
from tests.scheduler.hpa_cases import (
    FREE,
    UNLIMITED,
    Case,
    Said,
    Settings,
    Story,
    average,
    behavior,
    broken,
    limits,
    pool,
    whole,
)

DOCS = "Kubernetes docs, Horizontal Pod Autoscaling, "
CALC = "pkg/controller/podautoscaler/replica_calculator.go, "
CONTROL = "pkg/controller/podautoscaler/horizontal.go, "
KEDA_DOCS = "KEDA docs, ScaledObject specification, metricType"
MILLI = "pkg/scalers/scaler.go of KEDA, GenerateMetricInMili"
WINDOWS = CONTROL + "stabilizeRecommendationWithBehaviors"
EVENTS = CONTROL + "getReplicasChangePerPeriod"
RATES = CONTROL + "calculateScaleUpLimitWithScalingRules"
FALLS = CONTROL + "calculateScaleDownLimitWithBehaviors"
BOUNDS = CONTROL + "reconcileAutoscaler"
MANY = DOCS + "Algorithm details: multiple metrics"
TOLERANT = CALC + "Tolerances.isWithin"
ONE = average(1)
A_LOT = average(100)
SLOW_UP, SLOW_DOWN = ("Pods", 4, 60), ("Percent", 50, 60)


def _case(
    name: str, source: str, why: str, replicas: int, says: Said | list[Said], becomes: int, spec: Settings = FREE
) -> Case:
    said = says if isinstance(says, list) else [says]
    return Case(name=name, source=source, why=why, replicas=replicas, says=said, becomes=becomes, spec=spec)


def _up(*policies: tuple[str, int, int], select: str = "Max") -> Settings:
    return behavior(up=limits(*policies, select=select), down=UNLIMITED)


def _down(*policies: tuple[str, int, int], select: str = "Max") -> Settings:
    return behavior(up=UNLIMITED, down=limits(*policies, select=select))


def _tolerance(*, up: float | str = 0.1, down: float | str = 0.1) -> Settings:
    return behavior(up={**UNLIMITED, "tolerance": up}, down={**UNLIMITED, "tolerance": down})


def _waits(*, up: int = 0, down: int = 0) -> Settings:
    return behavior(
        up={**UNLIMITED, "stabilizationWindowSeconds": up}, down={**UNLIMITED, "stabilizationWindowSeconds": down}
    )


# A row is a case: the tables below are not for the formatter.
FORMULA = [
    _case("twice the target doubles", DOCS + "Algorithm details", "ceil(3*200/100)=6", 3, whole(200, 100), 6),
    _case("half the target halves", DOCS + "Algorithm details", "ceil(4*50/100)=2", 4, whole(50, 100), 2),
    _case("one and a half of four are six", DOCS + "Algorithm details", "ceil(4*150/100)=6", 4, whole(150, 100), 6),
    _case("a part of a replica is a whole one", DOCS + "Algorithm details", "ceil(3*1.5)=5", 3, whole(150, 100), 5),
    _case("an average ignores the replicas there are", KEDA_DOCS, "20/5=4", 3, average(20, 5), 4),
    _case("a value multiplies the replicas there are", KEDA_DOCS, "3*20/5=12", 3, whole(20, 5), 12),
    _case("an average rounds up", CALC + "GetExternalPerPodMetricReplicas", "ceil(21/5)=5", 3, average(21, 5), 5),
    _case("an average falls at once to its quotient", CALC + "GetExternalPerPodMetricReplicas", "10/5=2", 10,
          average(10, 5), 2),
    _case("nothing to do leaves one replica", CONTROL + "convertDesiredReplicasWithBehaviorRate",
          "ceil(0/5)=0, at least 1", 3, average(0, 5), 1),
    _case("less than a thousandth is not seen", MILLI, "2.0004 is 2000m, ceil(2000/1000)=2", 1, average(2.0004), 2),
    _case("a thousandth costs a replica", MILLI, "2.001 is 2001m, ceil(2001/1000)=3", 1, average(2.001), 3),
    _case("a value's ratio is floating point", CALC + "getUsageRatioReplicaCount",
          "28/100*25 is 7.000000000000001 in double precision, ceil is 8", 25, whole(28, 100), 8),
    _case("the highest metric wins on the way out", MANY, "max(ceil(20/5), ceil(35/5))=7", 3,
          [average(20, 5), average(35, 5, name="other")], 7),
    _case("the highest metric wins whatever its kind", MANY, "max(20/5, ceil(3*3))=9", 3,
          [average(20, 5), whole(30, 10)], 9),
    _case("the highest metric wins on the way in", MANY, "max(2, 5)=5", 10, [average(2), average(5, name="other")], 5),
    _case("a metric in tolerance holds what another would take", MANY, "max(10 as it is, 3)=10", 10,
          [average(10), average(3, name="other")], 10),
]  # fmt: skip

TOLERANCE = [
    _case("an average ten percent above is let be", TOLERANT, "44/(10*4)=1.1 <= 1+0.1", 10, average(44, 4), 10),
    _case("an average over ten percent above is not", TOLERANT, "45/40=1.125, ceil(45/4)=12", 10, average(45, 4), 12),
    _case("an average ten percent below is let be", TOLERANT, "36/40=0.9 >= 1-0.1", 10, average(36, 4), 10),
    _case("an average over ten percent below is not", TOLERANT, "35/40=0.875, ceil(35/4)=9", 10, average(35, 4), 9),
    _case("a value ten percent above is let be", TOLERANT, "110/100=1.1", 10, whole(110, 100), 10),
    _case("a value over ten percent above is not", TOLERANT, "ceil(10*1.11)=12", 10, whole(111, 100), 12),
    _case("a value ten percent below is let be", TOLERANT, "90/100=0.9", 10, whole(90, 100), 10),
    _case("a value over ten percent below is not", TOLERANT, "ceil(10*0.89)=9", 10, whole(89, 100), 9),
    _case("in a big pool whole replicas hide in the tolerance", TOLERANT, "99/90=1.1", 90, average(99), 90),
    _case("no tolerance upwards", DOCS + "Tolerance", "41/40=1.025 > 1, ceil(41/4)=11", 10, average(41, 4), 11,
          _tolerance(up=0)),
    _case("a wide tolerance downwards", DOCS + "Tolerance", "20/40=0.5 >= 1-0.5", 10, average(20, 4), 10,
          _tolerance(down=0.5)),
    _case("below a wide tolerance", DOCS + "Tolerance", "19/40=0.475, ceil(19/4)=5", 10, average(19, 4), 5,
          _tolerance(down=0.5)),
    _case("a tolerance upwards is none downwards", DOCS + "Tolerance", "35/40=0.875 < 0.9, ceil(35/4)=9", 10,
          average(35, 4), 9, _tolerance(up=0.5)),
    _case("a tolerance downwards is none upwards", DOCS + "Tolerance", "45/40=1.125 > 1.1, ceil(45/4)=12", 10,
          average(45, 4), 12, _tolerance(down=0.5)),
    _case("a tolerance as a quantity", "API reference, HPAScalingRules v2: a resource.Quantity", "500m is 0.5", 10,
          average(20, 4), 10, _tolerance(down="500m")),
]  # fmt: skip

LIMITS = [
    _case("above the maximum, metrics are not asked", BOUNDS, "12 > 10", 12, average(1), 10,
          {**FREE, "maxReplicaCount": 10}),
    _case("above the maximum, metrics need not be there", BOUNDS, "12 > 10", 12, broken(), 10,
          {**FREE, "maxReplicaCount": 10}),
    _case("below the minimum, metrics are not asked", BOUNDS, "1 < 3", 1, average(9), 3,
          {**FREE, "minReplicaCount": 3}),
    _case("no higher than the maximum", CONTROL + "convertDesiredReplicasWithBehaviorRate", "min(50, 6)=6", 4,
          average(50), 6, {**FREE, "maxReplicaCount": 6}),
    _case("no lower than the minimum", CONTROL + "convertDesiredReplicasWithBehaviorRate", "max(1, 2)=2", 5, ONE, 2,
          {**FREE, "minReplicaCount": 2}),
    _case("disabled scaling in does not hold what is above the maximum", BOUNDS, "12 > 10, before any behavior", 12,
          ONE, 10, {**behavior(down={"selectPolicy": "Disabled"}), "maxReplicaCount": 10}),
]  # fmt: skip

FAILING = [
    _case("a failing metric blocks scaling in", MANY, "2 < 5 with one of two missing", 5, [average(2), broken()], 5),
    _case("a failing metric does not block scaling out", MANY, "max(8)=8 > 5", 5, [average(8), broken()], 8),
    _case("a failing metric in front does not either", MANY, "max(8)=8 > 5", 5, [broken(), average(8)], 8),
    _case("a failing metric beside one that is content", MANY, "5 is 5", 5, [average(5), broken()], 5),
    _case("all metrics failing change nothing", CONTROL + "computeReplicasForMetrics", "2 of 2 invalid", 5,
          [broken("one"), broken("two")], 5),
]  # fmt: skip

DEFAULTS = [
    _case("out of one by four pods", DOCS + "Default behavior", "max(1*2, 1+4)=5", 1, A_LOT, 5, behavior()),
    _case("out of three by four pods", DOCS + "Default behavior", "max(3*2, 3+4)=7", 3, A_LOT, 7, behavior()),
    _case("out of four both ways", DOCS + "Default behavior", "max(4*2, 4+4)=8", 4, A_LOT, 8, behavior()),
    _case("out of ten by doubling", DOCS + "Default behavior", "max(10*2, 10+4)=20", 10, A_LOT, 20, behavior()),
    _case("in by all that may go", DOCS + "Default behavior", "10*(1-100/100)=0, wanted 1", 10, ONE, 1,
          behavior(down={"stabilizationWindowSeconds": 0})),
    _case("without a behavior out of one to four", CONTROL + "calculateScaleUpLimit", "max(2*1, 4)=4", 1, A_LOT, 4, {}),
    _case("without a behavior out of three to six", CONTROL + "calculateScaleUpLimit", "max(2*3, 4)=6", 3, A_LOT, 6,
          {}),
    _case("without a behavior out of ten to twenty", CONTROL + "calculateScaleUpLimit", "max(2*10, 4)=20", 10, A_LOT,
          20, {}),
    _case("without a behavior no higher than the maximum", CONTROL + "convertDesiredReplicasWithRules",
          "min(100, 5, max(2*3, 4))=5", 3, A_LOT, 5, {"maxReplicaCount": 5}),
]  # fmt: skip

POLICIES = [
    _case("pods are added", RATES, "10+3=13", 10, A_LOT, 13, _up(("Pods", 3, 15))),
    _case("pods are taken", FALLS, "10-2=8", 10, ONE, 8, _down(("Pods", 2, 15))),
    _case("ten percent of one is one more", RATES, "ceil(1*1.1)=2", 1, A_LOT, 2, _up(("Percent", 10, 15))),
    _case("a percentage out rounds up", RATES, "ceil(15*1.1)=ceil(16.5)=17", 15, A_LOT, 17, _up(("Percent", 10, 15))),
    _case("a percentage in cuts off", FALLS, "trunc(15*0.9)=trunc(13.5)=13", 15, ONE, 13, _down(("Percent", 10, 15))),
    _case("ten percent of five is one less", FALLS, "trunc(5*0.9)=trunc(4.5)=4", 5, ONE, 4,
          _down(("Percent", 10, 15))),
    _case("a percentage out is floating point", RATES, "50*(1+10/100) is 55.00000000000001, ceil is 56", 50, A_LOT, 56,
          _up(("Percent", 10, 15))),
    _case("a percentage in is floating point", FALLS, "10*(1-80/100) is 1.9999999999999996, cut off to 1", 10, ONE, 1,
          _down(("Percent", 80, 15))),
    _case("of several, the largest step out", RATES, "max(10+4, 10*1.5)=15", 10, A_LOT, 15, _up(SLOW_UP, SLOW_DOWN)),
    _case("of several, the smallest step out", RATES, "min(10+4, 10*1.5)=14", 10, A_LOT, 14,
          _up(SLOW_UP, SLOW_DOWN, select="Min")),
    _case("of several, the largest step in", FALLS, "min(10-4, 10*0.5)=5", 10, ONE, 5, _down(SLOW_UP, SLOW_DOWN)),
    _case("of several, the smallest step in", FALLS, "max(10-4, 10*0.5)=6", 10, ONE, 6,
          _down(SLOW_UP, SLOW_DOWN, select="Min")),
    _case("scaling out is disabled", RATES, "Disabled: 5 stay", 5, A_LOT, 5, _up(SLOW_UP, select="Disabled")),
    _case("scaling in is disabled", FALLS, "Disabled: 5 stay", 5, ONE, 5, _down(SLOW_UP, select="Disabled")),
    _case("scaling out disabled lets scale in", FALLS, "ceil(2/1)=2", 5, average(2), 2,
          _up(SLOW_UP, select="Disabled")),
    _case("scaling in disabled lets scale out", RATES, "ceil(9/1)=9", 5, average(9), 9,
          _down(SLOW_UP, select="Disabled")),
    _case("a policy does not add what nobody asked for", RATES, "min(11, 10+4)=11, 11/9 out of tolerance", 9,
          average(11), 11, _up(SLOW_UP)),
]  # fmt: skip

STABILIZATION = [
    Story(name="replicas fall once nothing higher was recommended for five minutes", source=WINDOWS, replicas=10,
          why="the 10 of the beginning counts at 299 s; at 300 it is not younger than the window any more",
          spec=behavior(), steps=[(0, [average(4)], 10), (150, [average(4)], 10), (299, [average(4)], 10),
                                  (300, [average(4)], 4)]),
    Story(name="without a behavior the five minutes hold their last second", source=CONTROL + "stabilizeRecommendation",
          why="a recommendation of exactly 300 s ago is not before the cutoff", replicas=10,
          steps=[(0, [average(4)], 10), (300, [average(4)], 10), (301, [average(4)], 4)]),
    Story(name="scaling in takes the highest recommendation of the window", source=DOCS + "Stabilization window",
          why="310: max(6, 3, 3)=6; 365: max(3, 3, 3)=3", replicas=10, spec=_waits(down=300),
          steps=[(0, [average(10)], 10), (60, [average(6)], 10), (120, [average(3)], 10), (310, [average(3)], 6),
                 (365, [average(3)], 3)]),
    Story(name="a dip neither takes replicas nor delays new ones", source=DOCS + "Stabilization window",
          why="60: max(10, 2)=10; 75: out has no window, 12/10=1.2", replicas=10, spec=_waits(down=300),
          steps=[(0, [average(10)], 10), (60, [average(2)], 10), (75, [average(12)], 12)]),
    Story(name="what stood at the beginning holds scaling out back too", source=CONTROL + "recordInitialRecommendation",
          why="0 and 30: min(2, 8)=2; 60: only 8 is younger than 60 s", replicas=2, spec=_waits(up=60),
          steps=[(0, [average(8)], 2), (30, [average(8)], 2), (60, [average(8)], 8)]),
    Story(name="scaling out takes the lowest recommendation of the window", source=WINDOWS, replicas=2,
          why="60: min(3, 8)=3; 105: min(8, 8)=8", spec=_waits(up=60),
          steps=[(0, [average(8)], 2), (45, [average(3)], 2), (60, [average(8)], 3), (105, [average(8)], 8)]),
    Story(name="between lowest and highest nothing moves", source=WINDOWS, replicas=5, spec=_waits(up=60, down=300),
          why="15: lowest 2, highest 8, 5 is in between",
          steps=[(0, [average(8)], 5), (15, [average(2)], 5), (30, [average(8)], 5)]),
    Story(name="without a behavior an old peak still adds replicas", source=CONTROL + "normalizeDesiredReplicas",
          why="max(20, 4)=20, each time no more than max(2*replicas, 4): 4, 8, 16, 20", replicas=2,
          steps=[(0, [average(20)], 4), (15, [average(4)], 8), (30, [average(8)], 16), (45, [average(16)], 20)]),
    Story(name="with a behavior an old peak adds none", source=WINDOWS, replicas=2, spec=behavior(),
          why="0: max(2*2, 2+4)=6; 15: lowest 4, highest 20, 6 stay",
          steps=[(0, [average(20)], 6), (15, [average(4)], 6)]),
    Story(name="a decision that a failing metric stopped is no recommendation", replicas=4, spec=_waits(up=60),
          source=CONTROL + "reconcileAutoscaler: an error returns before the recommendation is kept",
          why="210: the 2 of 200 was not kept, so the lowest is 8",
          steps=[(0, [average(4)], 4), (200, [average(2), broken()], 4), (210, [average(8)], 8)]),
]  # fmt: skip

RATE_STORIES = [
    Story(name="two pods a minute", source=EVENTS, spec=_up(("Pods", 2, 60)), replicas=2,
          why="15: began with 4-2=2, 2+2=4; 60: the first change is a minute old, 4+2=6",
          steps=[(0, [A_LOT], 4), (15, [A_LOT], 4), (45, [A_LOT], 4), (60, [A_LOT], 6), (75, [A_LOT], 6)]),
    Story(name="the default way out doubles every fifteen seconds", source=DOCS + "Default behavior", replicas=1,
          why="5: began with 5-4=1, max(2, 5)=5; 15: max(10, 9); then 20, 40, 80, 100", spec=behavior(),
          steps=[(0, [A_LOT], 5), (5, [A_LOT], 5), (15, [A_LOT], 10), (30, [A_LOT], 20), (45, [A_LOT], 40),
                 (60, [A_LOT], 80), (75, [A_LOT], 100)]),
    Story(name="ten percent of eighty and then four at a time", source=DOCS + "Scaling policies", replicas=80,
          why="80*0.9=72, 72*0.9=64.8 cut to 64, 64*0.9=57.6 to 57: min with -4 pods is the percentage each time",
          spec=_down(("Pods", 4, 60), ("Percent", 10, 60)),
          steps=[(0, [ONE], 72), (60, [ONE], 64), (120, [ONE], 57)]),
    Story(name="below forty the pods decide", source=DOCS + "Scaling policies", replicas=28,
          why="min(28*0.9=25.2 cut to 25, 28-4=24)=24, then min(21, 20)=20",
          spec=_down(("Pods", 4, 60), ("Percent", 10, 60)), steps=[(0, [ONE], 24), (60, [ONE], 20)]),
    Story(name="half of what a minute began with may go in it", source=EVENTS, replicas=8,
          why="30: began with 4+4=8, 8*0.5=4; 60: 4*0.5=2; 120: 1", spec=_down(("Percent", 50, 60)),
          steps=[(0, [ONE], 4), (30, [ONE], 4), (60, [ONE], 2), (120, [ONE], 1)]),
    Story(name="what was added in the period is no beginning", source=FALLS, spec=_down(("Percent", 50, 60)),
          why="15: began with 8-4=4, 4*0.5=2", replicas=4, steps=[(0, [average(8)], 8), (15, [ONE], 2)]),
    Story(name="what was taken in the period may come back", source=RATES, spec=_up(("Pods", 1, 60)), replicas=6,
          why="15: began with 2+4=6, 6+1=7", steps=[(0, [average(2)], 2), (15, [average(10)], 7)]),
    Story(name="the smallest step of two periods", source=RATES, replicas=2,
          spec=_up(("Pods", 4, 15), ("Pods", 6, 60), select="Min"),
          why="0: min(6, 8); 15: min(6+4, 2+6)=8; 30: min(8+4, 2+6)=8; 60: min(8+4, 6+6)=12",
          steps=[(0, [A_LOT], 6), (15, [A_LOT], 8), (30, [A_LOT], 8), (60, [A_LOT], 12)]),
    Story(name="a change takes the place of one that its own direction forgot", source=CONTROL + "storeScaleEvent",
          why="45: 0 and 10 are older than 15 s, the last gives way; 50: began with 8-2-2=4, 4-1=3", replicas=2,
          spec=behavior(up=limits(("Pods", 4, 15)), down=limits(("Pods", 1, 60))),
          steps=[(0, [average(4)], 4), (10, [average(6)], 6), (45, [average(8)], 8), (50, [ONE], 3)]),
]  # fmt: skip

CASES = [*FORMULA, *TOLERANCE, *LIMITS, *FAILING, *DEFAULTS, *POLICIES]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_decision_of_the_hpa(case: Case) -> None:
    memory = policy.first_memory(case.replicas, 0)
    replicas, _, _ = policy.sync(pool(case.spec), memory, case.says, case.replicas, 0)
    assert replicas == case.becomes, f"{case.why} ({case.source})"


STORIES = [*STABILIZATION, *RATE_STORIES]


@pytest.mark.parametrize("story", STORIES, ids=[story.name for story in STORIES])
def test_decisions_of_the_hpa_in_a_row(story: Story) -> None:
    scaled, replicas = pool(story.spec), story.replicas
    memory = policy.first_memory(replicas, 0)
    for now, says, becomes in story.steps:
        replicas, memory, _ = policy.sync(scaled, memory, says, replicas, now)
        assert replicas == becomes, f"at {now} s: {story.why} ({story.source})"
