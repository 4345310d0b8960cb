"""What the conformance suites of the HPA and of KEDA are written in: a pool, what its triggers say, how it goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduler import scaledobject
from scheduler.hpa import Failed, Reading
from scheduler.scaledobject import ScaledObject

Said = Reading | Failed
Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One decision, worked by hand: `why` is the arithmetic, `source` where upstream says so."""

    name: str
    source: str
    why: str
    replicas: int
    says: Sequence[Said]
    becomes: int
    spec: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """Decisions in a row from time 0; a step is (seconds, what the triggers say, replicas after it)."""

    name: str
    source: str
    why: str
    replicas: int
    steps: Sequence[tuple[float, Sequence[Said], int]]
    spec: Settings = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def average(value: float, target: float = 1, *, name: str = "queue") -> Reading:
    """A metric that is shared out: `target` is per replica."""
    return Reading(name, value, target, active=value > 0)


def whole(value: float, target: float, *, name: str = "age") -> Reading:
    """A metric of the whole pool."""
    return Reading(name, value, target, active=value > 0, is_average=False)


def broken(name: str = "broken") -> Failed:
    return Failed(name, "it does not answer")


def behavior(*, up: Settings | None = None, down: Settings | None = None) -> Settings:
    """`spec` with a behavior; a direction that is not given has Kubernetes' defaults."""
    given = {name: rules for name, rules in (("scaleUp", up), ("scaleDown", down)) if rules is not None}
    return {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": given}}}


def limits(*policies: tuple[str, int, int], select: str = "Max", window: int = 0) -> Settings:
    """Rules of one direction; a policy is (type, value, seconds)."""
    listed = [{"type": kind, "value": value, "periodSeconds": seconds} for kind, value, seconds in policies]
    return {"policies": listed, "selectPolicy": select, "stabilizationWindowSeconds": window}


UNLIMITED = limits(("Pods", 1000, 15))
FREE = behavior(up=UNLIMITED, down=UNLIMITED)


def pool(spec: Settings, annotations: Mapping[str, str] | None = None) -> ScaledObject:
    return scaledobject.parse(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "images", "annotations": dict(annotations or {})},
            "spec": {
                "scaleTargetRef": {"name": "images"},
                "triggers": [{"type": "external", "metadata": {"scale": "depth", "value": "1"}}],
                **spec,
            },
        }
    )
