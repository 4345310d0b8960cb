"""The readings as JSON."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import ConfigurationError
from scheduler.folder import Folder
from scheduler.keda.web import Web
from storage.errors import DatabaseUnavailable
from tests.pools import write
from tests.scheduler.keda.serving import BUSY, Source


@pytest.fixture
def web(folder: Path, source: Source) -> Iterator[Web]:
    triggers = [
        {"type": "external", "name": "queue", "metadata": {"scale": "depth", "value": "10"}},
        {"type": "external", "name": "oldest", "metricType": "Value", "metadata": {"scale": "age", "seconds": "60"}},
        {"type": "external", "name": "drain", "metadata": {"scale": "drain", "seconds": "2"}},
    ]
    write(folder / "images.yaml", folder / "images.yaml", triggers=triggers)
    made = Web(Folder(folder), source, "127.0.0.1", 0)
    made.start()
    yield made
    made.stop()


def test_a_reading_says_what_is_asked_for_and_why(web: Web, source: Source) -> None:
    source.numbers = BUSY
    status, kind, body = _get(web, "/v1/pools/images/queue")
    assert (status, kind) == (200, "application/json")
    assert body == {
        "pool": "images",
        "trigger": "queue",
        "value": 25,
        "target": 10.0,
        "active": True,
        "replicas": 3,
        "why": "25 runnable, 10 a replica",
    }


def test_why_is_of_the_replicas_that_are_asked_for(web: Web, source: Source) -> None:
    source.numbers = BUSY._replace(runnable=250, oldest=1, workers=1)
    body = _get(web, "/v1/pools/images/drain?any=thing")[2]
    assert body["replicas"] == 43  # 68 s of one replica, in 0.8 · 2 s
    assert body["why"].startswith("250 runnable at 0.55 s each would take 2 s, the oldest has waited 1 s, target 2 s")


def test_a_metric_of_the_whole_pool_names_no_replicas(web: Web, source: Source) -> None:
    source.numbers = BUSY
    body = _get(web, "/v1/pools/images/oldest")[2]
    assert (body["value"], body["target"]) == (12.5, 60.0)
    assert "replicas" not in body


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/pools/image/queue", "there is no pool 'image'; did you mean 'images'?"),
        ("/v1/pools/images/queues", "has no trigger 'queues'; did you mean 'queue'?"),
        ("/v1/pools/images/x", "has no trigger 'x'; there are: queue, oldest, drain"),
        ("/v1/pools/images", "there are /v1/pools/{pool}/{trigger}, /livez and /readyz"),
        ("/", "there are /v1/pools/{pool}/{trigger}, /livez and /readyz"),
    ],
)
def test_what_is_not_there_is_404_with_the_nearest_name(path: str, said: str, web: Web) -> None:
    status, kind, body = _get(web, path)
    assert (status, kind) == (404, "application/problem+json")
    assert (body["status"], body["code"], body["title"], body["type"]) == (404, "not_found", "Not Found", "about:blank")
    assert said in body["detail"]


def test_without_numbers_it_is_503_and_never_a_value(web: Web, source: Source) -> None:
    source.fault = DatabaseUnavailable("connection refused")
    status, kind, body = _get(web, "/v1/pools/images/queue")
    assert (status, kind, body["code"]) == (503, "application/problem+json", "numbers_unavailable")
    assert body["detail"] == "the numbers of the pool 'images' cannot be read now: connection refused"
    assert "value" not in body


def test_the_probes_need_no_database(web: Web, source: Source) -> None:
    source.fault = DatabaseUnavailable("connection refused")
    assert _get(web, "/livez")[::2] == (200, {"status": "alive"})
    assert _get(web, "/readyz")[::2] == (200, {"status": "ready"})
    assert source.asked == 0


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "BREW"])
def test_other_methods_are_refused_as_a_problem(method: str, web: Web) -> None:
    response, body = _request(web, method, "/livez")
    assert (response.status, response.getheader("Allow")) == (405, "GET")
    assert response.getheader("Content-Type") == "application/problem+json"
    assert body == b"" if method == "HEAD" else json.loads(body)["code"] == "method_not_allowed"


def test_a_mistake_of_ours_is_500_and_logged(web: Web, source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.fault = RuntimeError("secret")
    status, _, body = _get(web, "/v1/pools/images/queue")
    assert (status, body["code"]) == (500, "internal_error")
    assert "secret" not in json.dumps(body)
    assert "keda.http_failed" in caplog.text


def test_what_http_itself_refuses_is_a_problem_too(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=5) as client:
        client.sendall(b"GET /".ljust(65_537, b"a"))
        response = HTTPResponse(client)
        response.begin()
        assert (response.status, response.getheader("Content-Type")) == (414, "application/problem+json")
        response.close()


def test_a_port_that_is_taken_stops_the_start(web: Web, folder: Path, source: Source) -> None:
    with pytest.raises(ConfigurationError, match=f"--http: 127.0.0.1:{web.port} cannot be had"):
        Web(Folder(folder), source, "127.0.0.1", web.port)


def _get(web: Web, path: str) -> tuple[int, str | None, Any]:
    response, body = _request(web, "GET", path)
    return response.status, response.getheader("Content-Type"), json.loads(body)


def _request(web: Web, method: str, path: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", web.port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()
