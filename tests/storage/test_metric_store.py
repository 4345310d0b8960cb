"""How processes count: together with those that were forked from them, whatever becomes of these."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from storage.database import Database, PlatformTx
from storage.settings import DatabaseSettings
from storage.telemetry import metric_cells, metric_families, metric_store
from storage.telemetry.metric_cells import Cells
from storage.telemetry.metric_kinds import Counter, Gauge, Histogram
from storage.telemetry.metrics import ALL, HTTP_IN_PROGRESS, LOOP_RUNS, RELAY_SECONDS, STEP_ERRORS, STEPS
from tests.scraping import Scrape, number, parsed

ROOT = Path(__file__).parent.parent.parent

FORKING = """
import os, signal, threading, time
from storage.telemetry import metric_families, metric_store
from storage.telemetry.metrics import HTTP_IN_PROGRESS, STEPS

metric_store.share()
STEPS.add("echo", "succeeded")
stop = threading.Event()

def count():  # in another thread, all the while, so that forks meet it anywhere
    while not stop.is_set():
        STEPS.add("echo", "retrying")

threading.Thread(target=count).start()
for child in range(30):
    pid = os.fork()
    if not pid:
        STEPS.add("echo", "failed")
        STEPS.add("child%d" % child, "failed")  # a file that grows
        HTTP_IN_PROGRESS.add()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    if child == 15:
        metric_store.tidy()
stop.set()
folder = metric_store._here.folder
print(metric_families.text().decode())
assert len(list(folder.glob("*.cells"))) == 1
print("----")
print(metric_families.text().decode())
metric_store.close()
assert not folder.exists()
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store as in a new process."""
    monkeypatch.setattr(metric_store, "_here", metric_store._Here())
    yield
    metric_store.close()


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def here() -> Scrape:
    return parsed(metric_families.text().decode())


def test_what_killed_children_have_counted_stays_and_what_they_were_doing_ends(tmp_path: Path) -> None:
    done = run(FORKING, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, _, second = done.stdout.partition("----")
    for told in (first, second):
        seen = parsed(told)
        assert number(seen, "millrace_steps_total", kind="echo", outcome="failed") == 30
        assert number(seen, "millrace_steps_total", outcome="failed") == 60
        assert number(seen, "millrace_steps_total", outcome="succeeded") == 1
        assert number(seen, "millrace_http_requests_in_progress") == 0
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_killed_leaves_nothing_for_long(tmp_path: Path) -> None:
    code = "import os; from storage.telemetry import metric_store as s; s.share(); os.kill(os.getpid(), 9)"
    assert run(code, TMPDIR=str(tmp_path)).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    living = "from storage.telemetry import metric_store as s; s.share(); print(s._here.folder)"
    done = run(living, TMPDIR=str(tmp_path))
    assert [str(path) for path in tmp_path.iterdir()] == [done.stdout.strip()]


def test_threads_lose_nothing(alone: None) -> None:
    def count() -> None:
        for _ in range(2000):
            LOOP_RUNS.add("a")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number(here(), "millrace_loop_runs_total", loop="a") == 8000


def test_a_histogram_has_its_buckets_and_its_sum(alone: None) -> None:
    for seconds in (0.005, 0.006, 99.0):
        RELAY_SECONDS.observe(seconds)
    seen = here()
    buckets = {one.labels["le"]: one.value for one in seen["millrace_relay_seconds_bucket"]}
    assert (buckets["0.005"], buckets["0.01"], buckets["30.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert number(seen, "millrace_relay_seconds_count") == 3
    assert number(seen, "millrace_relay_seconds_sum") == pytest.approx(99.011)


def test_labels_that_never_end_count_as_others(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_store, "MOST_SETS", 10)
    for code in range(30):
        STEP_ERRORS.add("echo", str(code))
        STEP_ERRORS.add("echo", str(code))
    seen = here()["millrace_step_errors_total"]
    assert len(seen) == 11
    assert number(here(), "millrace_step_errors_total", code="other", kind="other") == 40
    assert sum(one.value for one in seen) == 60


def test_a_full_disk_costs_the_sharing_and_not_the_work(
    alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    metric_store.share(tmp_path)
    STEPS.add("echo", "succeeded")
    assert number(here(), "millrace_steps_total") == 1
    assert caplog.text.count("metrics.short reason=not shared: [Errno 28]") == 1
    assert not list(tmp_path.glob("*.new"))


def test_nothing_is_counted_where_nobody_can_ask(alone: None) -> None:
    metric_store.off()
    STEPS.add("echo", "succeeded")
    HTTP_IN_PROGRESS.add()
    assert metric_store.read() == {}


def test_a_file_grows_with_what_is_counted(tmp_path: Path) -> None:
    cells = Cells(tmp_path)
    places = {str(place): cells.make(f"ä{place}", 3) for place in range(5000)}
    for place in places.values():
        cells.cells[place + 2] += 1.5
    [other] = metric_cells.of_living(tmp_path, but=None)
    assert other == cells.read() == {f"ä{place}": [0, 0, 1.5] for place in range(5000)}
    assert list(metric_cells.of_dead(tmp_path)) == []
    cells.close()
    assert [left for _, left in metric_cells.of_dead(tmp_path)] == [other]


def test_every_metric_has_a_name_as_prometheus_wants_it_and_no_label_of_a_tenant() -> None:
    assert len({kind.key for kind in ALL}) == len(ALL)
    for kind in ALL:
        assert kind.name.startswith(("millrace_", "celery_"))
        assert kind.what.endswith(".")
        assert isinstance(kind, Counter) == kind.name.endswith("_total")
        assert not {"tenant", "job", "step"} & set(kind.labels)
        match kind:
            case Histogram():
                assert list(kind.bounds) == sorted(kind.bounds)
                assert kind.name.endswith("_seconds") or kind.name == "celery_task_runtime"
            case Gauge() | Counter():
                pass


def test_a_transaction_counts_once_it_stands(database: Database) -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError):
        rolled_back(database.platform(), told)
    with database.platform() as tx:
        tx.after_commit(lambda: told.append("stands"))
        with pytest.raises(ZeroDivisionError):
            rolled_back(tx.savepoint(), told, tx)
        assert told == []
    assert told == ["stands"]


def rolled_back(
    whole: AbstractContextManager[PlatformTx | None], told: list[str], tx: PlatformTx | None = None
) -> None:
    with whole as opened:
        within = opened or tx
        assert within is not None
        within.after_commit(lambda: told.append("rolled back"))
        raise ZeroDivisionError


def test_connections_of_a_pool_are_told(alone: None, database_url: str) -> None:
    database = Database(DatabaseSettings(url=database_url, direct_url=database_url, pool_size=3))
    with database.platform_read() as tx:
        tx.sql("SELECT 1")
        assert connections() == {"used": 1, "idle": 0}
    assert connections() == {"used": 0, "idle": 1}
    assert number(here(), "millrace_database_pool_size") == 3
    database.close()
    assert connections() == {"used": 0, "idle": 0}
    assert number(here(), "millrace_database_pool_size") == 0


def connections() -> dict[str, float]:
    name = "millrace_database_pool_connections"
    return {state: number(here(), name, state=state) for state in ("used", "idle")}
