"""The policies that are compared: KEDA's as people run them, and ours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scheduler.scaledobject import Advanced, Behavior, HpaConfig, Metadata, ScaledObject, ScaleDown, Spec, Target
from scheduler.scaledobject import Trigger
from scheduler.simulation.pilot import Policy
from scheduler.simulation.run import Result
from scheduler.simulation.world import World
from scheduler.triggers import Age, Ahead, Depth, Drain

DEFAULT_TARGET = 5.0  # listLength of KEDA's trigger for a Redis list
ACTIVATIONS = (0, 1, 3, 10)
COOLDOWNS, POLLS, WINDOWS = (30, 60, 300), (5, 30), (0, 60, 300)

Run = Callable[[Sequence[Policy]], Sequence[Result]]


def scaled(
    name: str, most: int, *, poll: float = 30, cooldown: float = 300, window: int = 300, least: int = 0
) -> ScaledObject:
    """A pool's ScaledObject with KEDA's defaults, but for what is given; its trigger is a placeholder."""
    behavior = Behavior(scaleDown=ScaleDown(stabilizationWindowSeconds=window))
    return ScaledObject(
        apiVersion="keda.sh/v1alpha1",
        kind="ScaledObject",
        metadata=Metadata(name=name),
        spec=Spec(
            scaleTargetRef=Target(name=name),
            pollingInterval=poll,
            cooldownPeriod=cooldown,
            minReplicaCount=least,
            maxReplicaCount=most,
            advanced=Advanced(horizontalPodAutoscalerConfig=HpaConfig(behavior=behavior)),
            triggers=(Trigger(type="external"),),
        ),
    )
