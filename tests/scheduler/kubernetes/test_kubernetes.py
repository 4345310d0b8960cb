"""What the Kubernetes actuator says to the API, beyond what every actuator does (tests/contracts/test_actuators.py)."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scheduler.errors import ActuatorFailed, ConfigurationError
from scheduler.kubernetes import DELETION_COST, Kubernetes, connect
from scheduler.pools import Pool
from tests.scheduler.kubernetes.cluster import TOKEN, Cluster, Upset
from tests.waiting import until

SCALE = "/apis/apps/v1/namespaces/default/deployments/images/scale"


def three(cluster: Cluster) -> list[str]:
    """The names of the pods of `images`, once all three run; the oldest first."""
    return until(lambda: (len(found := sorted(cluster.running("images"))) == 3 and found) or None)


def costs(cluster: Cluster, names: list[str]) -> list[str | None]:
    return [cluster.pod(name).annotations.get(DELETION_COST) for name in names]


def test_zero_replicas_which_the_api_leaves_out_are_zero(cluster: Cluster, actuator: Kubernetes, ai: Pool) -> None:
    assert actuator.replicas(ai) == 0


def test_costs_are_written_before_the_number_and_only_where_they_change(
    cluster: Cluster, actuator: Kubernetes, images: Pool
) -> None:
    first, second, third = three(cluster)
    cluster.pod(second).annotations[DELETION_COST] = "1"
    cluster.pod(third).annotations[DELETION_COST] = "2"
    actuator.scale(images, 2, {first: 2, third: 2})
    pods = "/api/v1/namespaces/default/pods"
    assert [(asked.path, asked.body) for asked in cluster.writes()] == [
        (f"{pods}/{first}", {"metadata": {"annotations": {DELETION_COST: "2"}}}),
        (f"{pods}/{second}", {"metadata": {"annotations": {DELETION_COST: "0"}}}),
        (SCALE, {"spec": {"replicas": 2}}),
    ]
    assert until(lambda: sorted(cluster.running("images")) == [first, third])


def test_scaling_out_asks_nothing_about_the_pods(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    actuator.scale(images, 5, dict.fromkeys(three(cluster), 1))
    assert [asked.path for asked in cluster.asked] == [SCALE, SCALE]


def test_busyness_alone_can_be_noted_for_another_scaler(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    names = three(cluster)
    actuator.note_busy(images, {names[1]: 2})
    assert costs(cluster, names) == [None, "2", None]
    actuator.note_busy(images, {names[1]: 2})
    assert len(cluster.writes()) == 1
    actuator.note_busy(images, {})
    assert costs(cluster, names) == [None, "0", None]
    assert actuator.replicas(images) == 3


def test_pods_that_go_or_have_ended_get_no_cost(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    going, ended, other = three(cluster)
    cluster.lingering.add(going)
    cluster.pod(going).going = True
    cluster.pod(ended).phase = "Failed"
    actuator.note_busy(images, {going: 1, ended: 1, other: 1})
    assert costs(cluster, [going, ended, other]) == [None, None, "1"]


def test_a_pod_that_is_gone_when_its_cost_is_written_holds_nothing_up(
    cluster: Cluster, actuator: Kubernetes, images: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, *others = three(cluster)
    patched = cluster._patched

    def leave_then_patch(namespace: str, name: str, body: object) -> dict[str, object]:
        cluster.pods.pop((namespace, gone), None)
        return patched(namespace, name, body)

    monkeypatch.setattr(cluster, "_patched", leave_then_patch)
    actuator.scale(images, 2, {gone: 1, others[1]: 1})
    assert actuator.replicas(images) == 2


def test_the_pools_own_namespace_counts(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    elsewhere = replace(images, namespace="elsewhere")
    assert (actuator.replicas(images), actuator.replicas(elsewhere)) == (3, 1)
    actuator.scale(elsewhere, 2, {})
    assert cluster.deployments["elsewhere", "images"] == 2
    assert cluster.deployments["default", "images"] == 3


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("forbidden", "the replicas of images cannot be counted: Kubernetes says 403, deployments.apps is forbidden"),
        ("overloaded", "Kubernetes says 503, Service Unavailable"),
        ("silent", "timed out"),
        ("cut off", "Remote end closed connection"),
        ("somebody else", "not that of a Kubernetes API"),
    ],
)
def test_a_failure_is_ours_and_says_why(cluster: Cluster, images: Pool, how: Upset, words: str) -> None:
    actuator = Kubernetes(cluster.configuration(), timeout=0.3)
    with cluster.upset(how), pytest.raises(ActuatorFailed, match=words) as caught:
        actuator.replicas(images)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert actuator.replicas(images) == 3
    actuator.close()


def test_a_request_that_fails_is_not_repeated_here(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    with cluster.upset("overloaded"), pytest.raises(ActuatorFailed):
        actuator.scale(images, 1, {})
    before = len(cluster.asked)
    with cluster.upset("cut off", "PATCH"), pytest.raises(ActuatorFailed):
        actuator.scale(images, 5, {})
    assert len(cluster.asked) == before + 1


def test_no_pod_is_taken_away_whose_cost_could_not_be_written(
    cluster: Cluster, actuator: Kubernetes, images: Pool
) -> None:
    busy = dict.fromkeys(three(cluster)[:1], 1)
    with cluster.upset("forbidden", "/pods"), pytest.raises(ActuatorFailed, match="scaled to 1"):
        actuator.scale(images, 1, busy)
    assert actuator.replicas(images) == 3


def test_a_deployment_that_is_not_there_is_a_failure(cluster: Cluster, actuator: Kubernetes, images: Pool) -> None:
    with pytest.raises(ActuatorFailed, match=r'404, deployments\.apps "nothing" not found'):
        actuator.replicas(replace(images, name="nothing"))


def test_a_wrong_token_is_a_failure(cluster: Cluster, images: Pool) -> None:
    actuator = Kubernetes(cluster.configuration("wrong"))
    with pytest.raises(ActuatorFailed, match="401, Unauthorized"):
        actuator.replicas(images)
    actuator.close()


def test_nobody_there_is_a_failure(cluster: Cluster, images: Pool) -> None:
    configuration = cluster.configuration()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        configuration.host = f"http://127.0.0.1:{free.getsockname()[1]}"
        actuator = Kubernetes(configuration, timeout=1)
        with pytest.raises(ActuatorFailed, match="refused"):
            actuator.replicas(images)
        actuator.close()


def kubeconfig(folder: Path, cluster: Cluster, context: dict[str, str]) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"} | context}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    }
    file = folder / "config"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.mark.parametrize(("context", "replicas"), [({}, 3), ({"namespace": "elsewhere"}, 1)])
def test_outside_a_cluster_the_kubeconfig_leads_there(
    tmp_path: Path,
    cluster: Cluster,
    images: Pool,
    context: dict[str, str],
    replicas: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = kubeconfig(tmp_path, cluster, context)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    actuator = connect(tmp_path / "no service account")
    assert actuator.replicas(images) == replicas
    actuator.close()


def test_within_a_cluster_the_service_account_leads_there(
    tmp_path: Path, cluster: Cluster, images: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("token", TOKEN), ("ca.crt", "unused over http"), ("namespace", "elsewhere\n")):
        (tmp_path / name).write_text(content)
    host, port = cluster.url.removeprefix("http://").split(":")
    loader = "kubernetes.config.incluster_config."
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(f"{loader}SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{loader}SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    actuator = connect(tmp_path / "namespace")
    assert actuator._namespace == "elsewhere"
    assert actuator._api.configuration.host == f"https://{host}:{port}"
    actuator.close()


def test_without_a_way_to_a_cluster_the_start_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nothing"
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(nowhere))
    with pytest.raises(ConfigurationError, match="no way to Kubernetes: Invalid kube-config"):
        connect(nowhere)
