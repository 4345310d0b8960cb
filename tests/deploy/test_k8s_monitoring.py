"""The optional part of deploy/k8s that has Prometheus' operator scrape the pods."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from deploy.prometheus.configuration import FOLDER
from tests.deploy import monitors
from tests.deploy.test_k8s import ALL, KUSTOMIZATIONS, POOLS, ROOT, Manifest, check, of

COMPONENT = next(document for folder, document in KUSTOMIZATIONS.items() if folder.name == "monitoring")
PATCHES = [(patch["target"], yaml.safe_load(patch["patch"])) for patch in COMPONENT["patches"]]
SCRAPED = [found for found in of("Deployment").values() if found.name not in {"millrace-api", "millrace-flower"}]
MONITORS = [found for found in ALL if found.document["apiVersion"].startswith("monitoring.")]


def patch_of(deployment: Manifest) -> dict[str, Any]:
    labels = deployment.document["metadata"]["labels"]
    [found] = [
        patch
        for target, patch in PATCHES
        if target.get("name") == deployment.name or tuple(target.get("labelSelector", "=").split("=")) in labels.items()
    ]
    return dict(found)


@pytest.mark.parametrize("deployment", SCRAPED, ids=str)
def test_every_pod_that_counts_serves_its_numbers(deployment: Manifest) -> None:
    patched = patch_of(deployment)["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in patched] == [container["name"] for container in deployment.containers]
    [container] = patched
    env = {item["name"]: item.get("value") for item in container["env"]}
    [port] = container["ports"]
    assert env["METRICS_PORT"] == str(port["containerPort"])
    assert env["METRICS_URL"] == f"http://$(POD_IP):{port['containerPort']}"
    assert list(env).index("POD_IP") < list(env).index("METRICS_URL")
    assert [endpoint["port"] for endpoint in of("PodMonitor")["millrace"].document["spec"]["podMetricsEndpoints"]] == [
        port["name"]
    ]
    taken = {each["containerPort"] for each in deployment.containers[0].get("ports", ())}
    assert port["containerPort"] not in taken


def test_all_pools_are_scraped() -> None:
    assert {found.name for found in SCRAPED} >= set(POOLS)


def test_the_api_is_scraped_by_its_service_with_a_key() -> None:
    spec = of("ServiceMonitor")["millrace-api"].document["spec"]
    service = of("Service")["millrace-api"].document
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "millrace-prometheus", "key": "key"}
    assert "create secret generic millrace-prometheus --from-literal=key=" in (
        ROOT / "docs" / "monitoring.md"
    ).read_text(encoding="utf-8")


def test_jobs_are_called_as_rules_and_dashboards_call_them() -> None:
    configured = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    called = {
        relabeling["replacement"]
        for kind, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints"))
        for monitor in of(kind).values()
        for endpoint in monitor.document["spec"][endpoints]
        for relabeling in endpoint["relabelings"]
        if relabeling["targetLabel"] == "job"
    }
    assert called == {job["job_name"] for job in configured}


@pytest.mark.parametrize("monitor", MONITORS, ids=str)
def test_a_misspelt_field_of_a_monitor_is_refused(monitor: Manifest) -> None:
    check(monitor.document)
    wrong = deepcopy(monitor.document)
    wrong["spec"]["selectors"] = wrong["spec"].pop("selector", {})
    with pytest.raises(ValueError, match="selectors"):
        monitors.check(wrong)
