"""KEDA's ScaledObject, read from its manifest, with KEDA's and the HPA's defaults. Pure.

Sources: KEDA 2.20, "ScaledObject specification"; Kubernetes 1.35, "Horizontal Pod Autoscaling" and the API reference of
HorizontalPodAutoscaler v2.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import to_json

from scheduler.errors import InvalidPool
from tasks.flaws import flaws_of

PAUSED = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT = "autoscaling.keda.sh/paused-scale-out"
FORCED = "autoscaling.keda.sh/force-activation"
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # what Go's strconv.ParseBool takes
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _quantity(value: Any) -> Any:
    """Kubernetes writes a share as a number, or as a quantity: "0.05" or "50m"."""
    if not isinstance(value, str):
        return value
    try:
        return float(value[:-1]) / 1000 if value.endswith("m") else float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a quantity such as 0.05 or 50m") from None


def _some(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Not Field(min_length=1), which adds its flaw to those of the items."""
    if not items:
        raise ValueError("must have at least one")
    return items


Share = Annotated[float, BeforeValidator(_quantity), Field(ge=0, allow_inf_nan=False)]
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
    policies: Annotated[tuple[Limit, ...], AfterValidator(_some)]
    tolerance: Share = 0.1


def _percent(value: int) -> Limit:
    return Limit(type="Percent", value=value, periodSeconds=15)


class ScaleUp(Rules):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    policies: Annotated[tuple[Limit, ...], AfterValidator(_some)] = (
        _percent(100),
        Limit(type="Pods", value=4, periodSeconds=15),
    )


class ScaleDown(Rules):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    policies: Annotated[tuple[Limit, ...], AfterValidator(_some)] = (_percent(100),)


class Behavior(_Part):
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


_DEFAULT_BEHAVIOR = Behavior()


class HpaConfig(_Part):
    name: str | None = None
    behavior: Behavior | None = None


class Advanced(_Part):
    restore_to_original_replica_count: bool = False
    horizontal_pod_autoscaler_config: HpaConfig = HpaConfig()
    scaling_modifiers: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("scaling_modifiers")
    @classmethod
    def _there_are_none(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given:
            raise ValueError(
                "is not supported: formulas over triggers are not evaluated here, the highest trigger wins"
            )
        return given


class Fallback(_Part):
    """What replaces a trigger that failed `failure_threshold` times in a row."""

    failure_threshold: Count
    replicas: Count
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class AuthenticationRef(_Part):
    """Who knows a trigger's secrets; only Kubernetes reads it."""

    name: str
    kind: str = "TriggerAuthentication"


class Trigger(_Part):
    """A trigger as it stands there; its metadata is what scheduler.triggers understands."""

    type: str
    name: str | None = None
    metadata: Mapping[str, str]
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"
    use_cached_metrics: bool = False
    authentication_ref: AuthenticationRef | None = None

    @model_validator(mode="after")
    def _may_be_cached(self) -> Self:
        if self.use_cached_metrics and self.type == "cron":
            raise ValueError("useCachedMetrics is not for a cron trigger")
        return self


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
    triggers: Annotated[tuple[Trigger, ...], AfterValidator(_some)]

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
    def behavior(self) -> Behavior | None:
        """None: not given at all, for which the HPA has rules of its own."""
        return self.advanced.horizontal_pod_autoscaler_config.behavior

    @cached_property
    def scale_up(self) -> ScaleUp:
        return (self.behavior or _DEFAULT_BEHAVIOR).scale_up

    @cached_property
    def scale_down(self) -> ScaleDown:
        return (self.behavior or _DEFAULT_BEHAVIOR).scale_down


class Metadata(_Part):
    """`metadata`, with what a cluster adds to it and nobody here reads."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    creation_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    deletion_timestamp: Any = None
    finalizers: Any = None
    generate_name: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    self_link: Any = None
    uid: Any = None

    @model_validator(mode="after")
    def _pauses_are_right(self) -> Self:
        for name in (PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT, FORCED):
            if self.annotations.get(name, "false") not in _TRUE | _FALSE:
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
    status: Any = None

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

    @property
    def is_forced(self) -> bool:
        """Whether it counts as active, whatever its triggers say."""
        return self._says(FORCED)

    def _says(self, annotation: str) -> bool:
        return self.metadata.annotations.get(annotation) in _TRUE


def parse(document: Any) -> ScaledObject:
    """Read a manifest. Raises InvalidPool with every flaw; an unknown field names the nearest right one."""
    try:
        return ScaledObject.model_validate_json(to_json(document))
    except ValidationError as exc:
        raise InvalidPool(flaws_of(exc, ScaledObject, "")) from exc
