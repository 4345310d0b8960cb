"""The stuck-queue drill: nine troubles, one after the other, each named by the overview and by the doctor."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import Urls
from tasks.budget_rules import FAILURES
from tests.e2e.drilling import Drill, both, drilled, named, not_named, table
from tests.sink import Answer
from tests.waiting import until

Mend = Callable[[], None]
DOWN = Answer(status=500)
SLOW_SECONDS = 0.22

_Row = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def shown(pytestconfig: pytest.Config) -> Iterator[list[_Row]]:
    """What was shown in each drill; printed at the end."""
    rows: list[_Row] = [("drill", "overview", "doctor", "mended", "what was shown")]
    yield rows
    terminal: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture: Any = pytestconfig.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for line in ("", *table([*rows])):
            terminal.write_line(line)


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory, servers: Urls, template_database: str) -> Iterator[Drill]:
    with drilled(tmp_path_factory.mktemp("drills"), servers) as running:
        yield running


@contextlib.contextmanager
def no_worker(drill: Drill, photos: Path) -> Iterator[Mend]:
    job = drill.photo((photos / "rocket.jpg").read_bytes())

    def mend() -> None:
        drill.add_pool("images")
        drill.succeeded(job)

    yield mend


@contextlib.contextmanager
def paused(drill: Drill, _: Path) -> Iterator[Mend]:
    assert drill.http.post("/v1/queues/default/pause").status_code == 200
    job = drill.job({"steps": {"say": {"kind": "echo"}}})

    def mend() -> None:
        assert drill.http.post("/v1/queues/default/resume").status_code == 200
        drill.succeeded(job)

    yield mend


@contextlib.contextmanager
def open_breaker(drill: Drill, _: Path) -> Iterator[Mend]:
    drill.third.answers = [DOWN]
    call = {"kind": "http.call", "url": drill.third.url, "max_attempts": 20}
    before = len(drill.third.got)
    job = drill.job({"steps": {f"call-{number}": call for number in range(8)}})
    until(lambda: len(drill.third.got) >= before + FAILURES)  # before that nothing is to be seen

    def mend() -> None:
        drill.third.answers = [Answer()]
        drill.succeeded(job)

    yield mend


@contextlib.contextmanager
def poison_files(drill: Drill, photos: Path) -> Iterator[Mend]:
    torn = (photos / "rocket.jpg").read_bytes()[:2000]
    jobs = [drill.photo(torn) for _ in range(3)]
    for job in jobs:
        assert drill.http.get(f"/v1/jobs/{job}?wait=30").json()["state"] == "failed"

    def mend() -> None:
        for job in jobs:
            assert drill.http.delete(f"/v1/jobs/{job}").status_code in (200, 204)

    yield mend


@contextlib.contextmanager
def database_slow(drill: Drill, _: Path) -> Iterator[Mend]:
    drill.database.seconds = SLOW_SECONDS

    def mend() -> None:
        drill.database.seconds = 0.0

    yield mend


@contextlib.contextmanager
def objects_down(drill: Drill, _: Path) -> Iterator[Mend]:
    drill.objects.cut()
    yield drill.objects.mend


@contextlib.contextmanager
def broker_down(drill: Drill, _: Path) -> Iterator[Mend]:
    drill.broker.cut()
    yield drill.broker.mend


@contextlib.contextmanager
def scaler_at_maximum(drill: Drill, _: Path) -> Iterator[Mend]:
    wait = {"kind": "echo", "sleep_seconds": 50}
    job = drill.job({"steps": {f"wait-{number}": wait for number in range(8)}})

    def mend() -> None:
        assert drill.http.post(f"/v1/jobs/{job}/cancel").status_code in (200, 202)

    yield mend


@contextlib.contextmanager
def dead_endpoint(drill: Drill, _: Path) -> Iterator[Mend]:
    drill.hook.answers = [DOWN]
    made = drill.http.post("/v1/webhooks", json={"url": drill.hook.url, "events": ["job.succeeded"]})
    assert made.status_code == 201, made.text
    drill.succeeded(drill.job({"steps": {"say": {"kind": "echo"}}}))
    until(lambda: drill.hook.received)

    def mend() -> None:
        drill.hook.answers = [Answer()]
        [delivery] = drill.http.get(f"/v1/webhooks/{made.json()['id']}/deliveries").json()["data"]
        again = f"/v1/webhooks/{made.json()['id']}/deliveries/{delivery['id']}/redeliver"
        assert drill.http.post(again).status_code == 202

    yield mend


@pytest.mark.parametrize(
    ("trouble", "code", "subject"),
    [
        (no_worker, "queue_without_worker", "images"),
        (paused, "queue_paused", "default"),
        (open_breaker, "breaker_open", "third"),
        (poison_files, "poison_files", "image.resize"),
        (database_slow, "database_slow", "database"),
        (objects_down, "objects_down", "objects"),
        (broker_down, "broker_down", "broker"),
        (scaler_at_maximum, "scaler_at_maximum", "default"),
        (dead_endpoint, "webhook_failing", "hook"),
    ],
)
def test_the_cause_is_named_while_it_lasts(
    drill: Drill,
    shown: list[_Row],
    photos: Path,
    trouble: Callable[[Drill, Path], contextlib.AbstractContextManager[Mend]],
    code: str,
    subject: str,
) -> None:
    whose = {"third": drill.third.host, "hook": drill.hook.host}.get(subject, subject)
    with trouble(drill, photos) as mend:
        on_page, by_doctor = both(named, drill, code, whose)
        mend()
        gone = both(not_named, drill, code)
    mended = f"{max(told.seconds for told in gone):.1f} s"
    said = f"{code}: {on_page.sentence}"
    shown.append((trouble.__name__, f"{on_page.seconds:.1f} s", f"{by_doctor.seconds:.1f} s", mended, said))
