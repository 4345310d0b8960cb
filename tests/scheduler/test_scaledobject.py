"""A ScaledObject's manifest: what is refused and with which words, and what stands where nothing is said.

Sources: KEDA 2.20's ScaledObject specification and custom resource definition; Kubernetes' API reference,
HorizontalPodAutoscaler v2.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduler import scaledobject
from scheduler.errors import InvalidPool
from scheduler.scaledobject import FORCED, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT, Limit

RULES = ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown")


def _rules() -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Min",
        "tolerance": 0.05,
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}],
    }


def _manifest() -> dict[str, Any]:
    """One that says everything."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "images", "namespace": "work", "labels": {"app": "millrace"}, "annotations": {}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "images"},
            "pollingInterval": 5,
            "cooldownPeriod": 60,
            "initialCooldownPeriod": 10,
            "idleReplicaCount": 0,
            "minReplicaCount": 1,
            "maxReplicaCount": 20,
            "fallback": {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"},
            "advanced": {
                "restoreToOriginalReplicaCount": True,
                "horizontalPodAutoscalerConfig": {
                    "name": "images",
                    "behavior": {"scaleUp": _rules(), "scaleDown": _rules()},
                },
            },
            "triggers": [
                {
                    "type": "external",
                    "name": "queue",
                    "metricType": "Value",
                    "useCachedMetrics": True,
                    "metadata": {"scalerAddress": "keda:9090"},
                    "authenticationRef": {"name": "secret", "kind": "ClusterTriggerAuthentication"},
                }
            ],
        },
    }


def _least() -> dict[str, Any]:
    """One that says only what it must."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "images"},
        "spec": {"scaleTargetRef": {"name": "images"}, "triggers": [{"type": "external", "metadata": {}}]},
    }


def _put(document: dict[str, Any], path: Sequence[str | int], value: Any) -> dict[str, Any]:
    at: Any = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return document


def _flaws(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidPool) as caught:
        scaledobject.parse(document)
    return [(flaw.pointer, flaw.detail) for flaw in caught.value.flaws]


MISSPELT: list[tuple[Sequence[str | int], str]] = [
    (("kinds",), "kind"),
    (("metadata", "anotations"), "annotations"),
    (("spec", "minReplicasCount"), "minReplicaCount"),
    (("spec", "coolDownPeriod"), "cooldownPeriod"),
    (("spec", "scaleTargetRef", "apiversion"), "apiVersion"),
    (("spec", "fallback", "failureTreshold"), "failureThreshold"),
    (("spec", "advanced", "horizontalPodAutoscaler"), "horizontalPodAutoscalerConfig"),
    (("spec", "advanced", "horizontalPodAutoscalerConfig", "behaviour"), "behavior"),
    (("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaledown"), "scaleDown"),
    ((*RULES, "stabilisationWindowSeconds"), "stabilizationWindowSeconds"),
    ((*RULES, "policies", 0, "periodSecond"), "periodSeconds"),
    (("spec", "triggers", 0, "metrictype"), "metricType"),
    (("spec", "triggers", 0, "authenticationRef", "names"), "name"),
]


@pytest.mark.parametrize(("path", "right"), MISSPELT, ids=[right for _, right in MISSPELT])
def test_a_misspelt_field_names_the_nearest_right_one(path: Sequence[str | int], right: str) -> None:
    pointer = "/" + "/".join(str(part) for part in path)
    assert _flaws(_put(_manifest(), path, 1)) == [(pointer, f"unknown field; did you mean {right!r}?")]


def test_every_flaw_is_told_at_once() -> None:
    document = _put(_put(_manifest(), ("spec", "polingInterval"), 1), ("spec", "maxReplicaCount"), "20")
    assert [pointer for pointer, _ in _flaws(document)] == ["/spec/maxReplicaCount", "/spec/polingInterval"]


@pytest.mark.parametrize(
    "path",
    [
        ("apiVersion",),
        ("metadata", "name"),
        ("spec", "scaleTargetRef", "name"),
        ("spec", "triggers"),
        ("spec", "triggers", 0, "type"),
        ("spec", "triggers", 0, "metadata"),
        ("spec", "triggers", 0, "authenticationRef", "name"),
        ("spec", "fallback", "failureThreshold"),
        ("spec", "fallback", "replicas"),
        (*RULES, "policies", 0, "periodSeconds"),
    ],
    ids=lambda path: str(path[-1]),
)
def test_what_the_definition_requires_is_required(path: Sequence[str | int]) -> None:
    document: Any = _manifest()
    at = document
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    assert _flaws(document) == [("/" + "/".join(str(part) for part in path), "Field required")]


REFUSED: list[tuple[Sequence[str | int], Any]] = [
    (("apiVersion",), "keda.sh/v1"),
    (("kind",), "ScaledJob"),
    (("spec", "pollingInterval"), 0),
    (("spec", "cooldownPeriod"), -1),
    (("spec", "initialCooldownPeriod"), -1),
    (("spec", "minReplicaCount"), -1),
    (("spec", "maxReplicaCount"), 0),
    (("spec", "minReplicaCount"), 1.5),
    (("spec", "triggers"), []),
    (("spec", "triggers", 0, "metricType"), "Utilization"),
    (("spec", "fallback", "behavior"), "currentReplicasIfBigger"),
    (("spec", "fallback", "replicas"), -1),
    ((*RULES, "stabilizationWindowSeconds"), 3601),
    ((*RULES, "tolerance"), -0.1),
    ((*RULES, "tolerance"), "ten percent"),
    ((*RULES, "selectPolicy"), "Most"),
    ((*RULES, "policies"), []),
    ((*RULES, "policies", 0, "value"), 0),
    ((*RULES, "policies", 0, "type"), "Percentage"),
    ((*RULES, "policies", 0, "periodSeconds"), 1801),
]


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=[f"{path[-1]} {value}" for path, value in REFUSED])
def test_a_value_out_of_bounds_is_refused_at_its_place(path: Sequence[str | int], value: Any) -> None:
    pointer = "/" + "/".join(str(part) for part in path)
    assert [at for at, _ in _flaws(_put(_manifest(), path, value))] == [pointer]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"minReplicaCount": 21}, "minReplicaCount is larger than maxReplicaCount"),
        ({"minReplicaCount": 101, "maxReplicaCount": 100}, "minReplicaCount is larger than maxReplicaCount"),
        ({"idleReplicaCount": 1}, "idleReplicaCount must be smaller than minReplicaCount"),
        ({"idleReplicaCount": 0, "minReplicaCount": 0}, "idleReplicaCount must be smaller than minReplicaCount"),
    ],
)
def test_counts_must_fit_each_other(counts: dict[str, int], words: str) -> None:
    document = _manifest()
    document["spec"].update(counts)
    assert _flaws(document) == [("/spec", words)]


def test_two_triggers_cannot_share_a_name() -> None:
    document = _manifest()
    document["spec"]["triggers"] *= 2
    assert _flaws(document) == [("/spec", "two triggers have the name 'queue'")]


def test_a_cron_trigger_has_no_cached_metrics() -> None:
    document = _put(_manifest(), ("spec", "triggers", 0, "type"), "cron")
    assert _flaws(document) == [("/spec/triggers/0", "useCachedMetrics is not for a cron trigger")]


def test_scaling_modifiers_are_refused_in_so_many_words() -> None:
    document = _put(_manifest(), ("spec", "advanced", "scalingModifiers"), {"formula": "a + b", "target": "2"})
    words = "is not supported: formulas over triggers are not evaluated here, the highest trigger wins"
    assert _flaws(document) == [("/spec/advanced/scalingModifiers", words)]


def test_empty_scaling_modifiers_are_none() -> None:
    scaledobject.parse(_put(_manifest(), ("spec", "advanced", "scalingModifiers"), {}))


def test_what_is_not_said_has_the_defaults_of_keda_and_the_hpa() -> None:
    scaled = scaledobject.parse(_least())
    spec = scaled.spec
    assert (spec.polling_interval, spec.cooldown_period, spec.initial_cooldown_period) == (30, 300, 0)
    assert (spec.idle_replica_count, spec.min_replica_count, spec.max_replica_count) == (None, 0, 100)
    assert (spec.fallback, spec.behavior, spec.advanced.restore_to_original_replica_count) == (None, None, False)
    assert (spec.scale_target_ref.api_version, spec.scale_target_ref.kind) == ("apps/v1", "Deployment")
    [trigger] = spec.triggers
    assert (trigger.metric_type, trigger.use_cached_metrics, trigger.authentication_ref) == (
        "AverageValue",
        False,
        None,
    )
    assert (scaled.is_paused, scaled.is_forced, scaled.may_scale_in, scaled.may_scale_out) == (False, False, True, True)


def test_a_behavior_that_says_little_has_the_defaults_of_the_hpa() -> None:
    document = _put(_least(), ("spec", "advanced"), {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": {}}}})
    spec = scaledobject.parse(document).spec
    percent = Limit(type="Percent", value=100, periodSeconds=15)
    assert spec.scale_up.policies == (percent, Limit(type="Pods", value=4, periodSeconds=15))
    assert spec.scale_down.policies == (percent,)
    assert (spec.scale_up.stabilization_window_seconds, spec.scale_down.stabilization_window_seconds) == (0, 300)
    assert (spec.scale_up.select_policy, spec.scale_down.select_policy) == ("Max", "Max")
    assert (spec.scale_up.tolerance, spec.scale_down.tolerance) == (0.1, 0.1)


def test_a_fallback_is_static_where_nothing_is_said() -> None:
    document = _put(_least(), ("spec", "fallback"), {"failureThreshold": 0, "replicas": 0})
    fallback = scaledobject.parse(document).spec.fallback
    assert fallback is not None
    assert fallback.behavior == "static"


@pytest.mark.parametrize(("given", "is_"), [("0.05", 0.05), ("50m", 0.05), ("0", 0.0), (0, 0.0), (1, 1.0)])
def test_a_tolerance_may_be_a_quantity(given: str | int, is_: float) -> None:
    assert scaledobject.parse(_put(_manifest(), (*RULES, "tolerance"), given)).spec.scale_down.tolerance == is_


def test_what_a_cluster_adds_is_let_be() -> None:
    document = _put(_manifest(), ("status",), {"conditions": [], "health": {"s0-queue": {"status": "Happy"}}})
    added = {"uid": "1", "resourceVersion": "2", "generation": 3, "managedFields": [], "finalizers": ["keda.sh"]}
    document["metadata"].update(added, creationTimestamp="2026-11-02T10:00:00Z", ownerReferences=[])
    assert scaledobject.parse(document).metadata.name == "images"


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "t", "T", "1"])
def test_an_annotation_is_true_as_go_reads_it(value: str) -> None:
    annotations = {PAUSED: value, PAUSED_SCALE_IN: value, PAUSED_SCALE_OUT: value, FORCED: value}
    scaled = scaledobject.parse(_put(_least(), ("metadata", "annotations"), annotations))
    assert (scaled.is_paused, scaled.is_forced, scaled.may_scale_in, scaled.may_scale_out) == (True, True, False, False)


@pytest.mark.parametrize("value", ["false", "False", "FALSE", "f", "F", "0"])
def test_an_annotation_is_false_as_go_reads_it(value: str) -> None:
    annotations = {PAUSED: value, PAUSED_SCALE_IN: value, PAUSED_SCALE_OUT: value, FORCED: value}
    scaled = scaledobject.parse(_put(_least(), ("metadata", "annotations"), annotations))
    assert (scaled.is_paused, scaled.is_forced, scaled.may_scale_in, scaled.may_scale_out) == (False, False, True, True)


@pytest.mark.parametrize("annotation", [PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT, FORCED])
def test_an_annotation_that_is_neither_is_refused(annotation: str) -> None:
    """KEDA would take it for true, silently."""
    document = _put(_least(), ("metadata", "annotations"), {annotation: "yes"})
    assert _flaws(document) == [("/metadata", f'annotation {annotation} must be "true" or "false"')]


def test_paused_replicas_are_a_number_and_a_pause() -> None:
    scaled = scaledobject.parse(_put(_least(), ("metadata", "annotations"), {PAUSED_REPLICAS: "7"}))
    assert scaled.is_paused
    assert scaled.paused_replicas == 7


@pytest.mark.parametrize("value", ["-1", "1.5", "", "many"])
def test_paused_replicas_that_are_no_number_are_refused(value: str) -> None:
    document = _put(_least(), ("metadata", "annotations"), {PAUSED_REPLICAS: value})
    assert _flaws(document) == [("/metadata", f"annotation {PAUSED_REPLICAS} must be a number of replicas, in quotes")]


@pytest.mark.parametrize("document", [None, [], "a pool", 1, {}])
def test_what_is_no_manifest_is_an_error_of_ours(document: Any) -> None:
    assert _flaws(document)


def test_a_container_for_the_environment_may_be_named() -> None:
    document = _put(_manifest(), ("spec", "scaleTargetRef", "envSourceContainerName"), "worker")
    assert scaledobject.parse(document).spec.scale_target_ref.env_source_container_name == "worker"
