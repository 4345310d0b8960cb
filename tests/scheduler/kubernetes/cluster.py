"""What a Kubernetes cluster does with Deployments, as far as an actuator can see: an API server on loopback that keeps
their scale and their pods, and a controller that starts and ends pods as a ReplicaSet's does.

Sources: Kubernetes 1.35, the API reference of Scale, Pod and Status, RFC 7386, and the order of ActivePodsWithRanks.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import Configuration

from scheduler.kubernetes import DELETION_COST

TOKEN = "let me in"
Upset = Literal["forbidden", "overloaded", "silent", "cut off", "somebody else"]
_SCALE = re.compile(r"/apis/apps/v1/namespaces/([^/]+)/deployments/([^/]+)/scale")
_POD = re.compile(r"/api/v1/namespaces/([^/]+)/pods(?:/([^/]+))?")
_PATCHES = {"application/merge-patch+json", "application/strategic-merge-patch+json"}


@dataclass(slots=True)
class Pod:
    """`born` counts the pods of the cluster, the uid is made of it. A `going` pod was told to end and has not yet."""

    name: str
    deployment: str
    born: int
    phase: str = "Pending"
    going: bool = False
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return f"00000000-0000-4000-8000-{self.born:012}"

    @property
    def order(self) -> tuple[bool, int, int]:
        """The lower, the sooner it goes: what does not run, the cheaper, the younger."""
        return self.phase == "Running", int(self.annotations.get(DELETION_COST, "0")), -self.born


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came, as it came."""

    method: str
    path: str
    body: Any


class Refused(Exception):
    """An answer that is a failure; the API's Status is made of it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class Cluster:
    """Use as a context manager. `deployments` are by namespace and name, with their replicas."""

    def __init__(self, deployments: Mapping[tuple[str, str], int]) -> None:
        self.deployments = dict(deployments)
        self.pods: dict[tuple[str, str], Pod] = {}
        self.asked: list[Asked] = []
        self.lingering: set[str] = set()  # the names of pods that take their time to end
        self._upset: tuple[Upset, str] | None = None
        self._changed = threading.Condition(threading.RLock())
        self._over = threading.Event()
        self._born = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.01,)),
            threading.Thread(target=self._control),
        ]

    def __enter__(self) -> "Cluster":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over.set()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def configuration(self, token: str = TOKEN) -> Any:
        made = Configuration(host=self.url, api_key={"BearerToken": f"Bearer {token}"})
        made.proxy = None
        return made

    def running(self, deployment: str, namespace: str = "default") -> dict[str, str]:
        """The pods that run and were not told to end: uid by name."""
        with self._changed:
            pods = [pod for (where, _), pod in self.pods.items() if where == namespace and pod.deployment == deployment]
            return {pod.name: pod.uid for pod in pods if pod.phase == "Running" and not pod.going}

    def pod(self, name: str, namespace: str = "default") -> Pod:
        with self._changed:
            return self.pods[namespace, name]

    def writes(self) -> list[Asked]:
        with self._changed:
            return [asked for asked in self.asked if asked.method != "GET"]

    def touch(self) -> None:
        """Let the controller look again, after something here was changed by hand."""
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def upset(self, how: Upset, about: str = "") -> Iterator[None]:
        """Answer so to all requests whose method or path contains `about`."""
        self._upset = how, about
        try:
            yield
        finally:
            with self._changed:
                self._upset = None
                self._changed.notify_all()

    def _control(self) -> None:
        """One step at a time, so that every state in between can be seen."""
        while True:
            with self._changed:
                if self._over.is_set():
                    return
                if not any(self._step(namespace, name) for namespace, name in self.deployments):
                    self._changed.wait()

    def _step(self, namespace: str, name: str) -> bool:
        mine = [pod for (where, _), pod in self.pods.items() if where == namespace and pod.deployment == name]
        for pod in mine:
            if pod.going and pod.name not in self.lingering:
                del self.pods[namespace, pod.name]
                return True
            if pod.phase == "Pending" and not pod.going:
                pod.phase = "Running"
                return True
        staying = [pod for pod in mine if not pod.going and pod.phase in {"Pending", "Running"}]
        if len(staying) < self.deployments[namespace, name]:
            self._born += 1
            pod = Pod(f"{name}-5d4f8c7b9-{self._born:05}", name, self._born)
            self.pods[namespace, pod.name] = pod
            return True
        if len(staying) > self.deployments[namespace, name]:
            min(staying, key=lambda pod: pod.order).going = True
            return True
        return False

    def answer(self, method: str, url: str, headers: Any, body: Any) -> dict[str, Any]:
        parts = urlsplit(url)
        with self._changed:
            self.asked.append(Asked(method, url, body))
            if headers["Authorization"] != f"Bearer {TOKEN}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            if method == "PATCH" and headers["Content-Type"] not in _PATCHES:
                raise Refused(415, "UnsupportedMediaType", f"the body of the request was in {headers['Content-Type']}")
            if found := _SCALE.fullmatch(parts.path):
                return self._scale(method, found[1], found[2], body)
            if (found := _POD.fullmatch(parts.path)) and bool(found[2]) == (method == "PATCH"):
                query = parse_qs(parts.query)
                return self._patched(found[1], found[2], body) if found[2] else self._listed(found[1], query)
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    def _scale(self, method: str, namespace: str, name: str, body: Any) -> dict[str, Any]:
        if (namespace, name) not in self.deployments:
            raise Refused(404, "NotFound", f'deployments.apps "{name}" not found')
        if method == "PATCH":
            wanted = body["spec"]["replicas"]
            if not isinstance(wanted, int) or wanted < 0:
                raise Refused(422, "Invalid", "spec.replicas: must be greater than or equal to 0")
            self.deployments[namespace, name] = wanted
            self._changed.notify_all()
        wanted, there = self.deployments[namespace, name], len(self.running(name, namespace))
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": wanted} if wanted else {},  # as the API does: zero is left out
            "status": {"replicas": there, "selector": f"app.kubernetes.io/name={name}"},
        }

    def _listed(self, namespace: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        wanted = dict(pair.split("=") for pair in query["labelSelector"][0].split(",")) if query else {}
        pods = [_shown(namespace, pod) for (where, _), pod in self.pods.items() if where == namespace]
        chosen = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": chosen}

    def _patched(self, namespace: str, name: str, body: Any) -> dict[str, Any]:
        pod = self.pods.get((namespace, name))
        if pod is None:
            raise Refused(404, "NotFound", f'pods "{name}" not found')
        for key, value in body["metadata"]["annotations"].items():
            if not isinstance(value, str):
                raise Refused(400, "BadRequest", "cannot unmarshal into field annotations of type string")
            pod.annotations[key] = value
        return _shown(namespace, pod)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def __init__(self, cluster: Cluster, *args: Any) -> None:
        self._cluster = cluster
        super().__init__(*args)  # which handles the connection

    def do_GET(self) -> None:
        self._respond()

    def do_PATCH(self) -> None:
        self._respond()

    def _respond(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        upset = self._cluster._upset
        if upset is not None and upset[1] in f"{self.command} {self.path}":
            self._misbehave(upset[0])
            return
        try:
            self._send(200, self._cluster.answer(self.command, self.path, self.headers, body))
        except Refused as exc:
            self._refuse(exc)

    def _misbehave(self, how: Upset) -> None:
        self.close_connection = how in {"silent", "cut off"}
        match how:
            case "forbidden":
                self._refuse(Refused(403, "Forbidden", "deployments.apps is forbidden"))
            case "overloaded":
                self._write(503, "text/plain", b"no backend")
            case "somebody else":
                self._write(200, "text/html", b"<html>please log in</html>")
            case "silent":
                with self._cluster._changed:
                    self._cluster._changed.wait_for(
                        lambda: self._cluster._upset is None or self._cluster._over.is_set()
                    )

    def _refuse(self, exc: Refused) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(exc)}
        self._send(exc.code, status | {"reason": exc.reason, "code": exc.code})

    def _send(self, code: int, document: dict[str, Any]) -> None:
        self._write(code, "application/json", json.dumps(document).encode())

    def _write(self, code: int, content_type: str, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: `asked` is the log."""


def _shown(namespace: str, pod: Pod) -> dict[str, Any]:
    metadata = {
        "name": pod.name,
        "namespace": namespace,
        "uid": pod.uid,
        "labels": {"app.kubernetes.io/name": pod.deployment, "pod-template-hash": "5d4f8c7b9"},
    }
    if pod.annotations:
        metadata["annotations"] = dict(pod.annotations)
    if pod.going:
        metadata["deletionTimestamp"] = "2026-11-26T04:00:00Z"
    spec = {"containers": [{"name": "worker", "image": "millrace"}]}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"phase": pod.phase}}
