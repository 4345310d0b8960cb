"""The policies that are compared: KEDA's as people run them, and ours."""

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler import scaledobject
from scheduler.pools import Pool
from scheduler.scaledobject import ScaledObject
from scheduler.simulation.pilot import Policy
from scheduler.simulation.world import World
from scheduler.triggers import Age, Ahead, Depth, Drain

AGE, DRAIN, AHEAD, PROMPT = "age", "drain", "drain + ahead", "drain, prompt"  # ours
DEFAULT_TARGET = 5.0  # listLength of KEDA's trigger for a Redis list
ACTIVATIONS = (1, 3, 10)
COOLDOWNS, POLLS, WINDOWS = (30, 60, 300), (5, 30), (0, 60, 300)
POINTS = 9  # of the grid of depth targets


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How few and how many replicas every policy may have."""

    least: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A rival's depth trigger and ScaledObject; KEDA's defaults."""

    target: float = DEFAULT_TARGET
    activation: float = 0
    poll: float = 30
    cooldown: float = 300
    window: int = 300

    @property
    def words(self) -> str:
        made = [f"target {self.target:g}", f"activation {self.activation:g}" if self.activation else ""]
        made += [f"polling {self.poll:g}" if self.poll != 30 else ""]
        made += [f"cooldown {self.cooldown:g}" if self.cooldown != 300 else ""]
        made += [f"window {self.window}" if self.window != 300 else ""]
        return ", ".join(word for word in made if word)


def depth(setting: Setting, bounds: Bounds) -> Policy:
    """KEDA's list trigger on Kubernetes: it does not see what runs."""
    advanced = {} if setting.window == 300 else _window(setting.window)
    spec = {"pollingInterval": setting.poll, "cooldownPeriod": setting.cooldown, "advanced": advanced}
    rule = Depth("depth", setting.target, setting.activation, exact=False)
    return Policy(name=f"depth ({setting.words})", scaled=scaled(spec, bounds), rules=(rule,), as_in="kubernetes")


def ours(pool: Pool | None, world: World, bounds: Bounds) -> list[Policy]:
    """Our triggers with the wait target, in the pool's own ScaledObject or, without a pool, in a plain one.

    The prompt one has a third of the target, is asked every two seconds, and keeps a replica for a minute.
    """
    plain = {"pollingInterval": 5, "cooldownPeriod": 0, "advanced": _window(0)}
    stands = bounded(pool.scaled, bounds) if pool else scaled(plain, bounds)
    quick = scaled({**plain, "pollingInterval": 2, "cooldownPeriod": 60}, bounds)
    drain = _drain(stands, world, world.target)
    return [
        Policy(name=AGE, scaled=stands, rules=(Age("age", world.target),)),
        Policy(name=DRAIN, scaled=stands, rules=(drain,)),
        Policy(name=AHEAD, scaled=stands, rules=(drain, _ahead(stands, world))),
        Policy(name=PROMPT, scaled=quick, rules=(_drain(quick, world, world.target / 3),)),
    ]


def _drain(stands: ScaledObject, world: World, target: float) -> Drain:
    return Drain("drain", target, startup=world.startup, every=stands.spec.polling_interval)


def _ahead(stands: ScaledObject, world: World) -> Ahead:
    """Asked in time for replicas to be up, and once more."""
    return Ahead("ahead", world.target, lead=world.startup + 2 * stands.spec.polling_interval)


def scaled(spec: Mapping[str, object], bounds: Bounds) -> ScaledObject:
    """A ScaledObject with KEDA's defaults but for `spec`; its trigger stands for the policy's rules."""
    document = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "simulated"},
        "spec": {
            "scaleTargetRef": {"name": "simulated"},
            "minReplicaCount": bounds.least,
            "maxReplicaCount": bounds.most,
            "triggers": [
                {"type": "external", "metadata": {"scalerAddress": "simulated", "scale": "depth", "value": "5"}}
            ],
            **spec,
        },
    }
    return scaledobject.parse(document)


def bounded(stands: ScaledObject, bounds: Bounds) -> ScaledObject:
    """The same with other bounds."""
    counts = {"min_replica_count": bounds.least, "max_replica_count": bounds.most}
    return stands.model_copy(update={"spec": stands.spec.model_copy(update=counts)})


def _window(seconds: int) -> dict[str, object]:
    return {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": seconds}}}}
