"""What a real scheduler process serves to Prometheus, and that it is told among those that live."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storage import processes
from storage.database import Database
from storage.model import TenantId
from storage.objects.settings import ObjectSettings
from storage.processes import Living
from tests.documents import put_in
from tests.scraping import number, scrape
from tests.waiting import until

LOOPS = {"relay", "reap", "sweep", "count", "fire", "batch", "deliver"}


@pytest.fixture
def env(database_url: str, broker_url: str, bucket: ObjectSettings, s3_env: Mapping[str, str]) -> dict[str, str]:
    urls = {"DATABASE_URL": database_url, "CELERY_BROKER_URL": broker_url}
    return {**os.environ, **s3_env, **urls, "METRICS_PORT": "0"}


@pytest.fixture
def scheduler(env: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "run"], env=env, stdout=log, stderr=subprocess.STDOUT
        )
    yield process
    process.kill()
    process.wait()


def living(database: Database) -> list[Living]:
    with database.platform_read() as tx:
        return processes.living(tx)


def test_a_scheduler_tells_its_numbers_while_it_lives(
    scheduler: "subprocess.Popen[bytes]", database: Database, tenant: TenantId
) -> None:
    [known] = until(lambda: living(database), seconds=60)
    assert (known.role, set(known.detail["loops"])) == ("scheduler", LOOPS)
    assert known.name.endswith(f"/{scheduler.pid}")
    url = known.metrics_url
    assert url is not None
    put_in(database, tenant)
    until(lambda: number(scrape(url), "millrace_relay_sent_total", queue="default") == 1)
    seen = scrape(url)
    assert {one.labels["loop"]: one.value for one in seen["millrace_loop_runs_total"]} == dict.fromkeys(LOOPS, 1)
    assert number(seen, "millrace_loop_failures_total") == 0
    assert number(seen, "millrace_relay_seconds_count") > 0
    assert number(seen, "millrace_database_pool_size") == 10
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(timeout=30) == 0
    assert not living(database)
