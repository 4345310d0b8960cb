"""What of the Prometheus operator's objects our manifests use, since Kubernetes' own schema does not know them."""

from collections.abc import Mapping
from typing import Any

_RELABELING = {"sourceLabels", "separator", "targetLabel", "regex", "modulus", "replacement", "action"}
_ENDPOINT = {"port", "path", "scheme", "interval", "scrapeTimeout", "authorization", "relabelings", "honorLabels"}
_MONITOR = {"selector", "namespaceSelector", "jobLabel", "sampleLimit"}
_FIELDS = {
    "ServiceMonitor": _MONITOR | {"endpoints"},
    "PodMonitor": _MONITOR | {"podMetricsEndpoints"},
    "PrometheusRule": {"groups"},
}


def check(document: Mapping[str, Any]) -> None:
    """Refuse a field that the operator would not know: ValueError with its name."""
    _known(document, {"apiVersion", "kind", "metadata", "spec"})
    if document["apiVersion"] != "monitoring.coreos.com/v1":
        raise ValueError(document["apiVersion"])
    spec = document["spec"]
    _known(spec, _FIELDS[document["kind"]])
    for endpoint in (*spec.get("endpoints", ()), *spec.get("podMetricsEndpoints", ())):
        _known(endpoint, _ENDPOINT)
        _known(endpoint.get("authorization", {}), {"type", "credentials"})
        _known(endpoint.get("authorization", {}).get("credentials", {}), {"name", "key", "optional"})
        for relabeling in endpoint.get("relabelings", ()):
            _known(relabeling, _RELABELING)
    for group in spec.get("groups", ()):  # the rest is promtool's to say: tests/deploy/test_prometheus_rules.py
        _known(group, {"name", "interval", "rules"})


def _known(found: Mapping[str, Any], names: set[str]) -> None:
    strange = sorted(found.keys() - names)
    if strange:
        raise ValueError(f"unknown: {', '.join(strange)}")
