"""TLS of the gRPC server, with certificates made for the test."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from scheduler.errors import ConfigurationError
from scheduler.keda.tls import Files, credentials
from tests.scheduler.keda.serving import Running, Source, served
from tests.scheduler.keda.wire import Keda, ref

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

DRAIN = ref(scale="drain", seconds="30")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, and of each a certificate: `one.pem` of `one-ca.pem`, `two.pem` of `two-ca.pem`, and keys."""
    home = tmp_path_factory.mktemp("certificates")
    for name in ("one", "two"):
        _make(home, f"{name}-ca", "basicConstraints=critical,CA:TRUE")
        _make(home, name, "basicConstraints=critical,CA:FALSE", "-CA", f"{name}-ca.pem", "-CAkey", f"{name}-ca.key")
    return home


def test_a_client_that_trusts_the_authority_is_answered(made: Path, folder: Path, source: Source) -> None:
    with served(folder, source, files=_files(made)) as running, _keda(running, made / "one-ca.pem") as keda:
        assert keda.is_active(DRAIN) is False
        assert next(keda.stream_is_active(DRAIN)).result is False


def test_others_are_not(made: Path, folder: Path, source: Source) -> None:
    with served(folder, source, files=_files(made)) as running:
        assert _is_shut_out(running.keda), "it spoke without TLS"
        with _keda(running, made / "two-ca.pem") as keda:
            assert _is_shut_out(keda)
    assert source.asked == 0


def test_with_an_authority_of_clients_a_certificate_of_it_is_required(made: Path, folder: Path, source: Source) -> None:
    with served(folder, source, files=_files(made, ca=made / "two-ca.pem")) as running:
        root = made / "one-ca.pem"
        with _keda(running, root, made / "two.pem", made / "two.key") as keda:
            assert keda.is_active(DRAIN) is False
        with _keda(running, root) as keda:
            assert _is_shut_out(keda), "it has no certificate"
        with _keda(running, root, made / "one.pem", made / "one.key") as keda:
            assert _is_shut_out(keda), "its certificate is of another authority"


def test_a_renewed_certificate_needs_no_restart_and_a_broken_one_changes_nothing(
    made: Path, folder: Path, source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    _put(made, "one", files)
    with served(folder, source, files=files) as running:
        _put(made, "two", files)
        with _keda(running, made / "two-ca.pem") as keda:
            assert keda.is_active(DRAIN) is False
        files.key.write_bytes((made / "one.key").read_bytes())
        with _keda(running, made / "two-ca.pem") as keda:
            assert keda.is_active(DRAIN) is False
    assert "keda.certificate_refused" in caplog.text


@pytest.mark.parametrize(("cert", "key", "ca"), [("one.pem", "two.key", None), ("one.pem", "one.key", "one.key")])
def test_files_that_cannot_serve_stop_the_start(made: Path, cert: str, key: str, ca: str | None) -> None:
    files = Files(cert=made / cert, key=made / key, ca=made / ca if ca else None)
    with pytest.raises(ConfigurationError, match=f"--tls-key {files.key}"):
        credentials(files)


def _make(home: Path, name: str, *more: str) -> None:
    words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt"]
    words += ["ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", *more]
    subprocess.run(words, cwd=home, check=True, capture_output=True)


def _files(made: Path, ca: Path | None = None) -> Files:
    return Files(cert=made / "one.pem", key=made / "one.key", ca=ca)


def _put(made: Path, name: str, files: Files) -> None:
    files.cert.write_bytes((made / f"{name}.pem").read_bytes())
    files.key.write_bytes((made / f"{name}.key").read_bytes())


@contextmanager
def _keda(running: Running, root: Path, cert: Path | None = None, key: Path | None = None) -> Iterator[Keda]:
    """A new connection, that trusts `root` and may show a certificate."""
    shown = (key.read_bytes(), cert.read_bytes()) if cert and key else (None, None)
    trusted = grpc.ssl_channel_credentials(root.read_bytes(), *shown)
    with grpc.secure_channel(f"127.0.0.1:{running.port}", trusted) as channel:
        yield Keda(channel)


def _is_shut_out(keda: Keda) -> bool:
    with pytest.raises(grpc.RpcError) as caught:
        keda.is_active(DRAIN)
    error: Any = caught.value
    return error.code() is grpc.StatusCode.UNAVAILABLE
