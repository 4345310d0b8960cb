"""Flower as `python -m deploy.flower` runs it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from celery import Celery

from deploy.flower import check_access, formatter, management_api
from deploy.flower_memory import events_of
from deploy.local.ports import claimed
from storage import recent, steps
from storage.database import Database
from storage.errors import ConfigurationError
from storage.model import Outcome, PublicError, StepId, TenantId, new_job_id
from storage.recent import Recent
from tasks.document import parse
from tasks.submit import submit
from tests.trust import TRUST_NOBODY
from tests.waiting import until

LOGIN = ("operator", "a password")
WORKER = "default@somewhere/host/1/ab"


@pytest.fixture
def place(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where Flower is to answer, behind a prefix, and its environment."""
    with claimed(tmp_path / "ports.json", ("flower",)) as ports:
        own = {
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": broker_url,
            "PUBLIC_URL": "https://millrace.example",
            "FLOWER_PORT": str(ports["flower"]),
            "FLOWER_DB": str(tmp_path / "new" / "flower"),
            "FLOWER_BASIC_AUTH": ":".join(LOGIN),
            "FLOWER_URL_PREFIX": "ops/flower",
            "FLOWER_STATE_SAVE_INTERVAL": "1000",
        }
        yield f"http://127.0.0.1:{ports['flower']}/ops/flower", {**os.environ, **own}


@contextmanager
def flower(url: str, env: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-m", "deploy.flower"], env=env, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or answers(f"{url}/healthcheck"))
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, auth=LOGIN, verify=TRUST_NOBODY).status_code == 200
    except httpx2.TransportError:
        return False


def states(url: str) -> dict[str, str]:
    found = httpx2.get(f"{url}/api/tasks", auth=LOGIN, verify=TRUST_NOBODY)
    return {task: facts["state"] for task, facts in found.json().items()}


def heard(broker_url: str, step: str) -> None:
    """Tell Flower of a task that has succeeded, as a worker does."""
    with Celery("worker", broker=broker_url, set_as_current=False) as app, app.events.default_dispatcher() as told:
        told.hostname = "default@somewhere"
        told.send("task-received", uuid=step, name="echo", args="()", kwargs="{}")
        told.send("task-started", uuid=step)
        told.send("task-succeeded", uuid=step, runtime=0.1, result="None")


def worked(database: Database, tenant: TenantId, outcome: Outcome | None) -> StepId:
    """A job's one step as a worker leaves it."""
    spec = parse({"steps": {"s": {"kind": "echo", "message": "never to be shown"}}})
    with database.begin(tenant) as tx:
        job = submit(tx, spec, job_id=new_job_id(), file=None).job
        claim = steps.claim(tx, job.id, job.steps[0].id, worker=WORKER, slot=1, lease_seconds=30)
        assert claim is not None
        if outcome is Outcome.SUCCEEDED:
            steps.succeed(tx, claim, {"said": "never to be shown"})
        elif outcome is Outcome.FAILED:
            steps.fail(tx, claim, PublicError(code="no_file", message="nor this"))
    return job.steps[0].id


def test_after_a_kill_it_shows_what_it_had_heard_and_what_it_missed(
    place: tuple[str, Mapping[str, str]], database: Database, broker_url: str, tenant: TenantId
) -> None:
    url, env = place
    with flower(url, env) as first:

        def is_heard() -> bool:
            heard(broker_url, "stp_heard")  # again: it may not have listened yet
            return states(url) == {"stp_heard": "SUCCESS"}

        until(is_heard)
        since, kept = time.time(), Path(env["FLOWER_DB"])  # what was kept before may not have all of it

        def is_kept() -> bool:
            files = [*kept.parent.iterdir()]  # written beside their place, and moved one by one: half of them is none
            with suppress(FileNotFoundError):
                is_whole = all(".tmp" not in file.name and file.stat().st_mtime > since for file in files)
                return is_whole and any(b"stp_heard" in file.read_bytes() for file in files)
            return False

        until(is_kept)
        first.kill()
    missed: dict[str, str] = {
        worked(database, tenant, Outcome.SUCCEEDED): "SUCCESS",
        worked(database, tenant, Outcome.FAILED): "FAILURE",
        worked(database, tenant, None): "STARTED",
    }
    with flower(url, env):
        until(lambda: states(url) == missed | {"stp_heard": "SUCCESS"})
        failed = next(step for step, state in missed.items() if state == "FAILURE")
        page = httpx2.get(f"{url}/task/{failed}", auth=LOGIN, verify=TRUST_NOBODY).text
        everything = page + httpx2.get(f"{url}/api/tasks", auth=LOGIN, verify=TRUST_NOBODY).text
        assert "https://millrace.example/#/jobs/job_" in page
        assert tenant in page
        assert "no_file" in page
        assert "never to be shown" not in everything
        assert httpx2.get(f"{url}/tasks").status_code == 401
        stopping = httpx2.post(f"{url}/api/worker/shutdown/default@somewhere", auth=LOGIN, verify=TRUST_NOBODY)
        assert stopping.status_code == 403


def test_it_does_not_start_where_everybody_could_read_it(place: tuple[str, Mapping[str, str]]) -> None:
    _, env = place
    open_to_all = {name: value for name, value in env.items() if name != "FLOWER_BASIC_AUTH"}
    command = [sys.executable, "-m", "deploy.flower"]
    done = subprocess.run(
        command, env={**open_to_all, "FLOWER_ADDRESS": "0.0.0.0"}, check=False, capture_output=True, text=True
    )
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.splitlines()[-1].startswith("error: FLOWER_BASIC_AUTH is not set")


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "10.0.0.1", "flower.example"])
def test_an_address_that_others_reach_is_guarded(address: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOWER_BASIC_AUTH"):
        check_access(address, is_guarded=False)
    check_access(address, is_guarded=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_ones_own_machine_needs_no_guard(address: str) -> None:
    check_access(address, is_guarded=False)


def test_rabbitmq_is_asked_through_its_management_api() -> None:
    assert management_api("amqp://me:p%2Fw@rabbit:5672//") == "http://me:p%2Fw@rabbit:15672/api/"
    assert management_api("redis://:secret@host:6379/0") is None


def test_a_task_of_somebody_elses_is_shown_without_its_arguments() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        formatter("")(SimpleNamespace(args="(1,)", kwargs="not json"))
    shown = formatter("")(SimpleNamespace(args="('a secret',)", kwargs="{'password': 'x', 'job': 'job_1'}"))
    assert (shown.args, shown.kwargs) == ("", "job=job_1")


def test_the_rows_tell_the_attempts_of_the_last_hour_and_no_older_ones(database: Database, tenant: TenantId) -> None:
    old, new = (worked(database, tenant, Outcome.SUCCEEDED) for _ in range(2))
    with database.platform() as tx:
        tx.sql(
            "UPDATE jobs SET finished_at = now() - interval '2 hours' FROM steps"
            " WHERE steps.job_id = jobs.id AND steps.id = %(step)s",
            step=old,
        )
        found = recent.attempts(tx, seconds=3600, limit=10)
    assert [(one.step_id, one.outcome, one.worker) for one in found] == [(new, Outcome.SUCCEEDED, WORKER)]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_an_end_to_flower(outcome: Outcome, database: Database, tenant: TenantId) -> None:
    worked(database, tenant, Outcome.SUCCEEDED)
    with database.platform_read() as tx:
        one = recent.attempts(tx, seconds=60, limit=1)[0]
    ended = Recent(**{name: getattr(one, name) for name in one.__slots__} | {"outcome": outcome})
    assert [event["type"] for event in events_of(ended)][-1].startswith("task-")
