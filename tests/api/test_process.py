"""`python -m api` as a process: what it loads, how it starts, and how it stops."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from api.errors import ConfigurationError as ApiConfigurationError
from api.settings import from_env
from storage.database import Database
from storage.errors import ConfigurationError as StorageConfigurationError
from storage.model import TenantId
from storage.tenants import create_key
from tests.api.refusing import eventually
from tests.documents import put_in

ROOT = Path(__file__).parent.parent.parent
HEAVY = ["celery", "kombu", "PIL", "pyvips", "pi_heif", "pypdfium2", "onnxruntime", "numpy"]


def run(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api"]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def env(database_url: str) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {"DATABASE_URL": database_url, "STORAGE_URL": "memory://", "PORT": str(port)}
    return {"PATH": os.environ["PATH"], **given}


def test_the_process_loads_nothing_of_the_workers() -> None:
    code = f"import sys, api.app, api.__main__; print(*(set(sys.modules) & set({HEAVY})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


BAD = {
    "DATABASE_URL": ["", "nonsense", "mysql://h/d", "postgresql://h"],
    "DATABASE_POOL_SIZE": ["0", "many"],
    "STORAGE_URL": ["", "ftp://bucket", "s3://"],
    "PORT": ["http", "65536", "-1", "9" * 5000],
    "WEB_CONCURRENCY": ["0", "two"],
    "PUBLIC_URL": ["example.com"],
    "LOG_LEVEL": ["LOUD"],
    "MAX_UPLOAD_BYTES": ["0", "5G"],
    "MAX_JOB_BYTES": ["1"],
    "BODY_IDLE_SECONDS": ["0", "soon"],
    "IMAGE_ENGINE": ["magick"],
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "PORT"])  # storage's and our own
def test_a_bad_variable_stops_the_start_with_one_line_that_names_it(env: dict[str, str], name: str) -> None:
    done = run(env | {name: BAD[name][0]})
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (os.EX_CONFIG, 1, ""), done.stderr
    assert name in lines[0]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_one_line_that_names_its_variable(name: str, value: str) -> None:
    good = {"DATABASE_URL": "postgresql://h/d", "STORAGE_URL": "memory://"}
    with pytest.raises((ApiConfigurationError, StorageConfigurationError), match=name) as caught:
        from_env(good | {name: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.fixture
def process(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The running process and where it answers."""
    usual = ["sh", "-c", 'ulimit -Sn 256 && exec "$0" -m api', sys.executable]  # of the files that it may have open
    with subprocess.Popen(usual, env=env, cwd=ROOT, stderr=subprocess.PIPE) as started:
        url = f"http://127.0.0.1:{env['PORT']}"
        try:
            eventually(lambda: started.poll() is not None or answers(url), "it answers")
            yield started, url
        finally:
            started.kill()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez", verify=False).status_code == 200
    except httpx2.ConnectError:
        return False


def test_it_serves_and_stops_within_five_seconds_although_a_client_watches(
    process: tuple[subprocess.Popen[bytes], str], database: Database, tenant: TenantId
) -> None:
    started, url = process
    assert httpx2.get(f"{url}/readyz").json() == {"status": "ready"}
    soft, hard = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)
    assert soft == hard, "each client that watches takes a file"
    with database.platform() as tx:
        key = create_key(tx, tenant, ["jobs:read"])
    job = put_in(database, tenant)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.stream("GET", f"{url}/v1/jobs/{job.id}/events", headers=headers) as watched:
        assert next(watched.iter_lines()) == "id: 1"
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=5) in {0, -signal.SIGTERM}
    assert started.stderr is not None
    assert b"Traceback" not in started.stderr.read()
