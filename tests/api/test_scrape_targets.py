"""How Prometheus finds the processes, and the numbers of several HTTP processes behind one address."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx2
import psutil
import pytest

from storage import processes, workers
from storage.database import Database
from storage.model import TenantId
from storage.processes import Known
from storage.tenants import create_key
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.scraping import Scrape, number, scrape
from tests.trust import TRUST_NOBODY
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
URLS = {
    "scheduler@a/1": "http://10.0.0.1:9100",
    "scheduler@a/2": None,
    "scaler@a/3": "https://scaler.example/some/path/",
    "keda@a/4": "nonsense",
}


def test_living_processes_are_listed_as_http_sd_wants_them(own_api: Api) -> None:
    with own_api.database.platform() as tx:
        for name, url in URLS.items():
            processes.seen(tx, Known(name=name, role=name.partition("@")[0], version="1", metrics_url=url, detail={}))
        lives = partial(workers.seen, tx, queues=["ai"], slots=1)
        lives("ai@ai-1/host/7/ab", for_seconds=60, metrics_url="http://[::1]:7/metrics")
        lives("ai@ai-2/host/8/cd", for_seconds=-60, metrics_url="http://127.0.0.1:8")
    answer = own_api.acme.ask("GET", "/metrics/targets", key=own_api.key(own_api.acme, "operate:read"))
    assert answer.status_code == 200
    assert answer.json() == [
        {
            "targets": ["scaler.example"],
            "labels": {
                "role": "scaler",
                "process": "scaler@a/3",
                "__scheme__": "https",
                "__metrics_path__": "/some/path",
            },
        },
        {"targets": ["10.0.0.1:9100"], "labels": {"role": "scheduler", "process": "scheduler@a/1"}},
        {"targets": ["[::1]:7"], "labels": {"role": "worker", "process": "ai@ai-1"}},
    ]
    refused = own_api.acme.get("/metrics/targets")
    assert_problem(refused.status_code, refused.headers, refused.json(), (403, "scope_missing"))


@pytest.fixture
def two_processes(database_url: str) -> Iterator[str]:
    """`python -m api` with two processes; where they answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "STORAGE_URL": "memory://",
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
    }
    with subprocess.Popen([sys.executable, "-m", "api"], env=env, cwd=ROOT) as started:
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: started.poll() is not None or answers(url), seconds=90)
            yield url
        finally:
            left = psutil.Process(started.pid).children(recursive=True)
            started.send_signal(signal.SIGTERM)
            started.wait(timeout=60)  # one that is starting is waited for
            for child in left:
                if child.is_running():
                    child.kill()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez", verify=TRUST_NOBODY).status_code == 200
    except httpx2.TransportError:
        return False


def test_two_http_processes_add_up_and_one_that_is_killed_takes_nothing_with_it(
    two_processes: str, database: Database, tenant: TenantId
) -> None:
    url = two_processes
    with database.platform() as tx:
        key = create_key(tx, tenant, ["operate:read"])

    def api_processes() -> list[str]:
        with database.platform_read() as tx:
            return [one.name for one in processes.living(tx) if one.role == "api"]

    until(lambda: len(api_processes()) == 2, seconds=90)
    before = gets(scrape(url, key))
    with ThreadPoolExecutor(20) as pool:  # connections of their own: the kernel gives them to both
        list(pool.map(lambda _: httpx2.get(f"{url}/livez", verify=TRUST_NOBODY), range(100)))
    assert gets(scrape(url, key)) == before + 100
    first = int(api_processes()[0].rpartition("/")[2])
    os.kill(first, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
    assert gets(until(lambda: patiently(url, key))) == before + 100
    assert gets(until(lambda: patiently(url, key))) == before + 100  # what was taken over is not taken over again
    told = until(lambda: patiently(url, key))
    routes = {one.labels["route"] for one in told["millrace_http_requests_total"]}
    assert {"/livez", "/metrics"} <= routes
    assert number(told, "millrace_http_request_seconds_count", route="/livez") == before + 100
    assert number(told, "millrace_database_pool_size") > 0


def gets(seen: Scrape) -> float:
    return number(seen, "millrace_http_requests_total", method="GET", route="/livez", status="200")


def patiently(url: str, key: str) -> Scrape | None:
    """A scrape, unless it met the process that was killed."""
    try:
        return scrape(url, key)
    except httpx2.TransportError:
        return None
