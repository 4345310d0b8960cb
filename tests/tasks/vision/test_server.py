"""A network on a server of the Open Inference Protocol: what is sent, and how connections are used and bounded."""

import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tasks.vision.manifest import ModelRefused, read
from tasks.vision.model import ModelFailed, ModelUnavailable
from tasks.vision.server import ServedModel
from tests.small_network import expected, pictures, small_network
from tests.tasks.vision.conftest import Open
from tests.vision_server import ModelServer, Reply, infer, model_server
from tests.waiting import until

MODELS = Path(__file__).parents[3] / "deploy" / "models"

FORKS = """
import os, ssl, sys
from tasks.vision.manifest import Run
from tasks.vision.server import ServedModel
from tests.small_network import manifest, pictures

model = ServedModel(manifest(Run(on="server", url=sys.argv[1])), ssl.create_default_context())

def asks(seed):
    for given in pictures(20, seed=seed):
        (answer,) = model.run([given])
        assert abs(answer["total"][0] - given.sum()) < 1e-4, "an answer that is another's"

asks(0)
child = os.fork()
asks(child == 0)
if child == 0:
    model.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
asks(2)
model.close()
print("child", os.waitstatus_to_exitcode(status))
"""


def test_a_server_that_says_it_takes_bytes_gets_them_and_another_gets_numbers(
    server: ModelServer, connect: Open
) -> None:
    (given,) = pictures(1)
    for server.binary in (True, False):
        (answer,) = connect(server.url).run([given])
        for name, right in expected(given).items():
            np.testing.assert_allclose(answer[name], right, atol=1e-5)
    assert server.forms == ["bytes", "json"]


@pytest.mark.parametrize(
    "metadata",
    [
        Reply(status=404, body=b"no such page"),
        Reply(body=b"[]"),
        Reply(body=b"\xff{"),
        Reply(body=b'{"extensions": 3}'),
    ],
    ids=["none", "a list", "no JSON", "strange"],
)
def test_a_server_that_tells_nothing_useful_of_itself_gets_numbers(
    server: ModelServer, connect: Open, metadata: Reply
) -> None:
    server.metadata = metadata
    assert len(connect(server.url).run(pictures(2))) == 2
    assert server.forms == ["json"]


def test_another_server_in_its_place_costs_one_call_at_most(server: ModelServer, connect: Open) -> None:
    model = connect(server.url)
    model.run(pictures(1))
    server.binary = False
    with pytest.raises(ModelFailed, match="400: failed to parse"):
        model.run(pictures(1))
    assert len(model.run(pictures(1))) == 1
    assert server.forms == ["bytes", "json"]


def test_its_connection_is_used_again(server: ModelServer, connect: Open) -> None:
    model = connect(server.url)
    assert server.connections == 0, "it connects when it must"
    for _ in range(5):
        model.run(pictures(2))
    assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "model", "asked"),
    [
        ("", "", "/v2/models/small/infer"),
        ("/", "resnet 50?", "/v2/models/resnet%2050%3F/infer"),
        ("/gpu/one/", "resnet", "/gpu/one/v2/models/resnet/infer"),
        ("", "resnet/versions/3", "/v2/models/resnet/versions/3/infer"),
    ],
)
def test_the_path_is_of_the_protocol(server: ModelServer, connect: Open, path: str, model: str, asked: str) -> None:
    connect(server.url + path, model=model).run(pictures(1))
    assert server.paths == [asked]


def test_a_server_that_is_not_there_is_unavailable(connect: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        connect(f"http://127.0.0.1:{port}").run(pictures(1))


def test_a_silent_server_is_unavailable_and_the_next_call_works(server: ModelServer, connect: Open) -> None:
    model = connect(server.url, timeout_seconds=0.3)
    server.hold = threading.Event()
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        model.run(pictures(1))
    server.hold.set()
    until(lambda: model.run(pictures(1)))


def test_a_body_that_comes_drop_by_drop_is_bounded(server: ModelServer, connect: Open) -> None:
    server.reply = Reply(body=b" " * 400, drip_seconds=0.05)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        connect(server.url, timeout_seconds=0.4).run(pictures(1))
    assert time.monotonic() - began < 10, "and the body would last 20 seconds"


def test_a_head_that_comes_drop_by_drop_is_bounded(connect: Open) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 400) as url:
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="did not answer in time"):
            connect(url, timeout_seconds=0.4).run(pictures(1))
        assert time.monotonic() - began < 10, "and the head would last 20 seconds"


def test_a_network_that_takes_one_picture_at_a_time_has_one_patience_for_all(
    server: ModelServer, connect: Open
) -> None:
    server.reply = Reply(
        body=b'{"outputs": [{"name": "y", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}', drip_seconds=0.003
    )
    model = connect(server.url, timeout_seconds=0.8, batches=False)
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        model.run(pictures(100))
    assert 1 <= len(server.sizes) < 100


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "something else"])
def test_a_server_that_hangs_up_or_speaks_something_else_is_unavailable(connect: Open, said: bytes) -> None:
    with dripping(said, seconds=0) as url, pytest.raises(ModelUnavailable, match="cannot be reached"):
        connect(url, timeout_seconds=5).run(pictures(1))


def test_the_environment_s_proxies_are_not_used(
    server: ModelServer, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert len(connect(server.url).run(pictures(1))) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("models", "ftp://host", "//host", "http://", "http://hôst", "http://[::1", "http://host:x"),
        *("http://host:0", "http://host:99999", "http://host?x=1", "http://host/#x", "http://user:key@host"),
    ],
)
def test_a_url_that_is_none_refuses_the_model(connect: Open, url: str) -> None:
    with pytest.raises(ModelRefused, match=r"model small: run\.url"):
        connect(url)


def test_a_network_of_ours_answers_the_same_from_a_server(tmp_path: Path) -> None:
    given = pictures(3, side=224)
    alone = onnxruntime.InferenceSession(str(MODELS / "efficientnet-lite0.onnx"))
    with model_server(MODELS / "efficientnet-lite0.onnx") as server:
        shutil.copy(MODELS / "imagenet-1k.json", tmp_path)
        text = (MODELS / "efficientnet-lite0.toml").read_text()
        (tmp_path / "lite.toml").write_text(f'{text}\n[run]\non = "server"\nurl = "{server.url}"\n')
        model = ServedModel(read(tmp_path / "lite.toml"), ssl.create_default_context())
        answers = model.run(given)
        model.close()
        assert server.sizes == [3]
    for picture, answer in zip(given, answers, strict=True):
        for name, right in infer(alone, "image", picture[np.newaxis]).items():
            np.testing.assert_allclose(answer[name], right[0], atol=1e-5)


def test_closing_lets_calls_under_way_end(server: ModelServer, connect: Open) -> None:
    server.hold = threading.Event()
    model = connect(server.url)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(model.run, pictures(1)) for _ in range(2)]
        until(lambda: len(server.sizes) == 2)
        model.close()
        server.hold.set()
        assert all(len(call.result(timeout=20)) == 1 for call in calls)


def test_a_forked_child_makes_connections_of_its_own(server: ModelServer) -> None:
    words = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", FORKS, server.url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("child 0\n", "")
    assert server.connections == 2
    assert len(server.sizes) == 80


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_over_tls_the_server_must_be_one_that_is_trusted(connect: Open, tmp_path: Path) -> None:
    words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt"]
    words += ["ec_paramgen_curve:prime256v1", "-subj", "/CN=tests", "-keyout", "key.pem", "-out", "cert.pem"]
    words += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with model_server(small_network(), tls=tls) as server:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        assert len(connect(server.url, tls=trusting).run(pictures(2))) == 2
        with pytest.raises(ModelUnavailable, match="certificate verify failed"):
            connect(server.url).run(pictures(1))
        assert server.sizes == [2]


@contextmanager
def dripping(said: bytes, *, seconds: float = 0.05) -> Iterator[str]:
    """A server of one caller that says its piece byte by byte, and hangs up."""
    over = threading.Event()

    def speak() -> None:
        with listening.accept()[0] as caller:
            caller.recv(65_536)
            for byte in said:
                if over.wait(seconds):
                    return
                caller.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:
        speaking = thread.submit(speak)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            assert isinstance(speaking.exception(timeout=20), OSError | None)
