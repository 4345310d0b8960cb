"""KEDA's ScaledObject, read from its manifest, with KEDA's and the HPA's defaults. Pure.

Sources: KEDA 2.20, "ScaledObject specification"; Kubernetes 1.35, "Horizontal Pod Autoscaling" and the API reference of
HorizontalPodAutoscaler v2.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import to_json

from scheduler.errors import InvalidPool
from tasks.document import flaws_of

PAUSED = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT = "autoscaling.keda.sh/paused-scale-out"

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Limit(_Part):
    """One scaling policy: at most `value` pods, or percent of the replicas, within `period_seconds`."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(gt=0)]
    period_seconds: Annotated[int, Field(gt=0, le=1800)]


class Rules(_Part):
    """How fast one direction may go."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)]
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: Annotated[tuple[Limit, ...], Field(min_length=1)]
    tolerance: Annotated[float, Field(ge=0)] = 0.1


def _percent(value: int) -> Limit:
    return Limit(type="Percent", value=value, periodSeconds=15)


class ScaleUp(Rules):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    policies: Annotated[tuple[Limit, ...], Field(min_length=1)] = (
        _percent(100),
        Limit(type="Pods", value=4, periodSeconds=15),
    )


class ScaleDown(Rules):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    policies: Annotated[tuple[Limit, ...], Field(min_length=1)] = (_percent(100),)


class Behavior(_Part):
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


class HpaConfig(_Part):
    name: str | None = None
    behavior: Behavior = Behavior()


class Advanced(_Part):
    restore_to_original_replica_count: bool = False
    horizontal_pod_autoscaler_config: HpaConfig = HpaConfig()


class Fallback(_Part):
    """What replaces a trigger that failed `failure_threshold` times in a row."""

    failure_threshold: Count
    replicas: Count
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class Trigger(_Part):
    """A trigger as it stands there; its metadata is what scheduler.triggers understands."""

    type: str
    name: str | None = None
    metadata: Mapping[str, str] = Field(default_factory=dict)
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"
    use_cached_metrics: bool = False
    authentication_ref: Mapping[str, Any] | None = None


class Target(_Part):
    """What is scaled; only Deployments are."""

    name: str
    api_version: str = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    env_source_container_name: str | None = None


class Spec(_Part):
    """`spec` of a ScaledObject; times in seconds."""

    scale_target_ref: Target
    polling_interval: Annotated[float, Field(gt=0)] = 30
    cooldown_period: Seconds = 300
    initial_cooldown_period: Seconds = 0
    idle_replica_count: Count | None = None
    min_replica_count: Count = 0
    max_replica_count: Annotated[int, Field(ge=1)] = 100
    fallback: Fallback | None = None
    advanced: Advanced = Advanced()
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if self.min_replica_count > self.max_replica_count:
            raise ValueError("minReplicaCount is larger than maxReplicaCount")
        if self.idle_replica_count is not None and self.idle_replica_count >= self.min_replica_count:
            raise ValueError("idleReplicaCount must be smaller than minReplicaCount")
        names = [trigger.name for trigger in self.triggers if trigger.name]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two triggers have the name {twice[0]!r}")
        return self

    @property
    def scale_up(self) -> ScaleUp:
        return self.advanced.horizontal_pod_autoscaler_config.behavior.scale_up

    @property
    def scale_down(self) -> ScaleDown:
        return self.advanced.horizontal_pod_autoscaler_config.behavior.scale_down


class Metadata(_Part):
    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _pauses_are_right(self) -> Self:
        for name in (PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT):
            if self.annotations.get(name, "false") not in {"true", "false"}:
                raise ValueError(f'annotation {name} must be "true" or "false"')
        if not self.annotations.get(PAUSED_REPLICAS, "0").isdecimal():
            raise ValueError(f"annotation {PAUSED_REPLICAS} must be a number of replicas, in quotes")
        return self


class ScaledObject(_Part):
    """A ScaledObject's manifest."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: Spec

    @property
    def is_paused(self) -> bool:
        """Whether nothing may change, but for `paused_replicas`."""
        return self.paused_replicas is not None or self._says(PAUSED)

    @property
    def paused_replicas(self) -> int | None:
        """How many replicas stand while it is paused; None: as many as there are."""
        raw = self.metadata.annotations.get(PAUSED_REPLICAS)
        return None if raw is None else int(raw)

    @property
    def may_scale_in(self) -> bool:
        return not self._says(PAUSED_SCALE_IN)

    @property
    def may_scale_out(self) -> bool:
        return not self._says(PAUSED_SCALE_OUT)

    def _says(self, annotation: str) -> bool:
        return self.metadata.annotations.get(annotation) == "true"


def parse(document: Any) -> ScaledObject:
    """Read a manifest. Raises InvalidPool with every flaw; an unknown field names the nearest right one."""
    try:
        return ScaledObject.model_validate_json(to_json(document))
    except ValidationError as exc:
        raise InvalidPool(flaws_of(exc, ScaledObject, "")) from exc
