"""Replicas as the pods of a Deployment.

Sources: Kubernetes 1.35, "ReplicaSet" (pod deletion cost) and the API reference of Scale and Pod.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException, OpenApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from scheduler.errors import ActuatorFailed, ConfigurationError
from scheduler.pools import Pool

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_SECONDS = 5.0
MERGE = "application/merge-patch+json"
_ENDED = frozenset({"Succeeded", "Failed"})


class Kubernetes:
    """The Kubernetes actuator: a pool is the Deployment of its name, a replica the pod of its name.

    Which pods go is the ReplicaSet's choice: pods that are not ready first, then those with the lowest deletion cost.
    So before it scales in this writes each pod's number of running steps as its cost. A step that begins between the
    writing and the choice can still fall to a pod that goes. That race cannot be closed from outside, and need not be:
    the worker in it hears SIGTERM, ends what it works on within STOP_GRACE_SECONDS, and hands back the rest.
    """

    is_local = False

    def __init__(self, configuration: Any, *, namespace: str = "default", timeout: float = TIMEOUT_SECONDS) -> None:
        """`configuration` is a kubernetes.client.Configuration, `namespace` that of pools which name none.

        `timeout` is of each request, in seconds; none is repeated here, since the next decision does.
        """
        configuration.retries = False
        self._api = client.ApiClient(configuration)
        self._apps, self._core = client.AppsV1Api(self._api), client.CoreV1Api(self._api)
        self._namespace, self._timeout = namespace, timeout

    def begin(self) -> None:
        """Nothing: Kubernetes looks after the pods."""

    def rest(self) -> None:
        """Nothing: see begin."""

    def trouble(self, pool: str) -> str | None:
        """Not known here: `kubectl describe` tells."""
        return None

    def replicas(self, pool: Pool) -> int:
        """How many the Deployment is told to have."""
        with _ours(f"the replicas of {pool.name} cannot be counted"):
            return _wanted(self._read(pool))

    def scale(self, pool: Pool, replicas: int, busy: Mapping[str, int]) -> None:
        """Tell the Deployment to have so many; when it shall lose some, say first which are busy."""
        with _ours(f"{pool.name} cannot be scaled to {replicas}"):
            found = self._read(pool)
            if _wanted(found) == replicas:
                return
            if _wanted(found) > replicas:
                self._note_busy(pool, found, busy)
            self._apps.patch_namespaced_deployment_scale(
                pool.name,
                self._namespace_of(pool),
                {"spec": {"replicas": replicas}},
                _content_type=MERGE,
                _request_timeout=self._timeout,
            )

    def note_busy(self, pool: Pool, busy: Mapping[str, int]) -> None:
        """Write how busy each pod is, for whoever scales the pool: with KEDA that is Kubernetes' own autoscaler.

        `busy` as in `scale`; pods that are right already are not touched. Raises ActuatorFailed.
        """
        with _ours(f"the deletion costs of {pool.name} cannot be written"):
            self._note_busy(pool, self._read(pool), busy)

    def close(self) -> None:
        """Close the connections; the pods stay."""
        self._api.rest_client.pool_manager.clear()
        self._api.close()

    def _read(self, pool: Pool) -> Any:
        namespace = self._namespace_of(pool)
        found = self._apps.read_namespaced_deployment_scale(pool.name, namespace, _request_timeout=self._timeout)
        if found.kind != "Scale":  # the client makes an empty one of whatever a proxy says, and empty is zero replicas
            raise ValueError("the answer is not that of a Kubernetes API")
        return found

    def _note_busy(self, pool: Pool, scale: Any, busy: Mapping[str, int]) -> None:
        namespace, selector = self._namespace_of(pool), scale.status and scale.status.selector
        if not selector:
            return  # without one all pods of the namespace would be meant
        found = self._core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=self._timeout)
        for pod in found.items:
            cost = str(busy.get(pod.metadata.name, 0))
            if _is_there(pod) and (pod.metadata.annotations or {}).get(DELETION_COST, "0") != cost:
                self._set_cost(namespace, pod.metadata.name, cost)

    def _set_cost(self, namespace: str, name: str, cost: str) -> None:
        body = {"metadata": {"annotations": {DELETION_COST: cost}}}
        try:
            self._core.patch_namespaced_pod(name, namespace, body, _content_type=MERGE, _request_timeout=self._timeout)
        except ApiException as exc:
            if exc.status != 404:  # gone since it was listed: so it needs none
                raise

    def _namespace_of(self, pool: Pool) -> str:
        return pool.namespace or self._namespace


def connect(namespace_file: Path = NAMESPACE_FILE) -> Kubernetes:
    """Reach the API server as this pod's service account, or where there is none as kubectl does.

    Pools that name no namespace are in the service account's, or the kubeconfig's, or "default". Raises
    ConfigurationError.
    """
    configuration = client.Configuration()
    try:
        if namespace_file.exists():
            config.load_incluster_config(configuration)
            return Kubernetes(configuration, namespace=namespace_file.read_text(encoding="utf-8").strip() or "default")
        config.load_kube_config(client_configuration=configuration)
        _, active = config.list_kube_config_contexts()
    except (ConfigException, OSError) as exc:
        raise ConfigurationError(f"there is no way to Kubernetes: {_line(exc)}") from exc
    return Kubernetes(configuration, namespace=active["context"].get("namespace") or "default")


def _wanted(scale: Any) -> int:
    """Its `spec.replicas`, which the API leaves out when it is none."""
    return int((scale.spec and scale.spec.replicas) or 0)


def _is_there(pod: Any) -> bool:
    """Whether it may still be chosen to go."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in _ENDED


@contextmanager
def _ours(what: str) -> Iterator[None]:
    """Turn everything that the client raises into ActuatorFailed."""
    try:
        yield
    except ApiException as exc:
        raise ActuatorFailed(f"{what}: Kubernetes says {exc.status}, {_said(exc)}") from exc
    except (OpenApiException, ConfigException, HTTPError, OSError, ValueError) as exc:
        raise ActuatorFailed(f"{what}: {_line(exc)}") from exc


def _said(exc: ApiException) -> str:
    """The message of the API's Status object, where the answer is one."""
    try:
        return str(json.loads(exc.body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(exc.reason)


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
