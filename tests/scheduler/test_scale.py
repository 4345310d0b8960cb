"""The scaler's loop: real rows, real processes (that only sleep), real files."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler import notes
from scheduler.errors import ActuatorFailed
from scheduler.folder import Folder
from scheduler.hpa import Reading
from scheduler.processes import Processes
from scheduler.scale import Scaler
from scheduler.triggers import Depth, Numbers
from storage import queues, scaling, steps, stops
from storage.database import Database
from storage.model import PublicError, TenantId
from storage.scaling import PoolStanding, ScaleDecision
from storage.settings import DatabaseSettings
from tests.documents import put_in, taken
from tests.waiting import until

QUICK = {"pollingInterval": 0.05, "cooldownPeriod": 0, "minReplicaCount": 0, "maxReplicaCount": 3}
DEPTH = {"type": "external", "name": "depth", "metadata": {"scale": "depth", "value": "2"}}


def manifest(name: str = "default", **spec: Any) -> str:
    container = {"command": ["python", "-cimport time; time.sleep(600)", "-Q", name, "-c", "2"]}
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"name": name}, "triggers": [DEPTH], **QUICK, **spec},
    }
    return yaml.safe_dump_all([deployment, scaled])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pools"
    made.mkdir()
    (made / "default.yaml").write_text(manifest())
    return made


@pytest.fixture
def actuator(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "workers", tmp_path / "log", {**os.environ})
    made.begin()
    yield made
    made.begin()  # a scaler that has stopped leaves its replicas to the next one
    made.stop_all(warm_seconds=1, grace_seconds=0)


@pytest.fixture
def scaler(database: Database, actuator: Processes, folder: Path) -> Scaler:
    return Scaler(database=database, actuator=actuator, folder=Folder(folder))


def decide(scaler: Scaler, *, away: str | None = None) -> int:
    """Let the pool's time come, and return how many replicas it shall have."""
    time.sleep(0.06)
    [decision] = scaler.scale_due(away)
    return decision.wanted


def standing(database: Database) -> PoolStanding:
    with database.platform_read() as tx:
        [found] = scaling.standing(tx)
    return found


def names(database: Database) -> list[str]:
    with database.platform_read() as tx:
        return [pool.name for pool in scaling.standing(tx)]


def decisions(database: Database) -> list[ScaleDecision]:
    with database.platform_read() as tx:
        return list(scaling.decisions(tx, "default", before=None, limit=100))


@contextmanager
def running(scaler: Scaler) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=scaler.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def test_a_backlog_brings_replicas_up_and_its_end_takes_them_away(
    scaler: Scaler, database: Database, tenant: TenantId, tmp_path: Path
) -> None:
    assert decide(scaler) == 0
    jobs = [put_in(database, tenant) for _ in range(5)]
    assert decide(scaler) == 3
    until(lambda: len(notes.read(tmp_path / "workers")) == 3)
    for job in jobs:
        claim = taken(database, tenant, job, "say")
        with database.begin(tenant) as tx:
            steps.succeed(tx, claim, {})
    assert decide(scaler) == 0
    assert [(one.replicas, one.wanted) for one in decisions(database)] == [(3, 0), (0, 3)]


def test_nothing_goes_to_zero_while_something_runs(scaler: Scaler, database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    assert decide(scaler) == 1
    taken(database, tenant, job, "say")
    assert [decide(scaler) for _ in range(3)] == [1, 1, 1]


def test_every_decision_is_written_with_what_it_stands_on(scaler: Scaler, database: Database, tenant: TenantId) -> None:
    for _ in range(5):
        put_in(database, tenant)
    decide(scaler)
    [made] = decisions(database)
    assert made.reason == "0 → 3: 5 runnable, 2 a replica"
    [trigger] = made.inputs["triggers"]
    assert (trigger["trigger"], trigger["value"], trigger["target"], trigger["active"]) == ("depth", 5, 2, True)
    assert made.inputs["numbers"]["runnable"] == 5
    decide(scaler)
    assert len(decisions(database)) == 1, "one that changes nothing is kept as the pool's last only"
    last = standing(database)
    assert (last.least, last.most, last.last.replicas, last.last.reason) == (0, 3, 3, "3: 5 runnable, 2 a replica")


def test_a_dry_run_decides_and_does_nothing(
    database: Database, actuator: Processes, folder: Path, tenant: TenantId, tmp_path: Path
) -> None:
    dry = Scaler(database=database, actuator=actuator, folder=Folder(folder), dry_run=True)
    put_in(database, tenant)
    assert decide(dry) == 1
    assert standing(database).last.dry_run
    assert actuator.replicas(dry.folder.pools["default"]) == 0
    assert not notes.read(tmp_path / "workers")


def test_what_may_not_start_is_no_work(scaler: Scaler, database: Database, tenant: TenantId) -> None:
    put_in(database, tenant)
    with database.platform() as tx:
        queues.pause(tx, "default")
    assert decide(scaler) == 0
    words = "1 more could run, but their queue is paused"
    assert standing(database).last.reason.endswith(words)


def test_while_the_database_is_away_all_stays_as_it_is(
    scaler: Scaler, database: Database, tenant: TenantId, actuator: Processes
) -> None:
    put_in(database, tenant)
    assert decide(scaler) == 1
    url = "postgresql://nobody:x@127.0.0.1:1/nothing"
    scaler.database = Database(DatabaseSettings(url=url, direct_url=url, pool_size=1))
    assert [decide(scaler), decide(scaler, away="it is away")] == [1, 1]
    assert actuator.replicas(scaler.folder.pools["default"]) == 1
    scaler.database.close()
    scaler.database = database
    assert decide(scaler) == 1


def test_a_scaler_that_is_started_again_remembers_when_something_was_active(
    database: Database, actuator: Processes, folder: Path, tenant: TenantId
) -> None:
    (folder / "default.yaml").write_text(manifest(cooldownPeriod=3600))
    first = Scaler(database=database, actuator=actuator, folder=Folder(folder))
    job = put_in(database, tenant)
    assert decide(first) == 1
    claim = taken(database, tenant, job, "say")
    with database.begin(tenant) as tx:
        steps.fail(tx, claim, PublicError(code="boom", message="it broke"))
    again = Scaler(database=database, actuator=actuator, folder=Folder(folder))
    assert decide(again) == 1, "the cooldown has an hour to go"


def test_a_dry_run_decides_beside_the_one_that_leads(
    scaler: Scaler, database: Database, actuator: Processes, folder: Path, tenant: TenantId
) -> None:
    for _ in range(9):
        put_in(database, tenant)
    (folder / "default.yaml").write_text(manifest(maxReplicaCount=2))
    dry = Scaler(database=database, actuator=actuator, folder=Folder(folder), dry_run=True)
    assert decide(scaler) == 3
    assert decide(dry) == 2
    assert not standing(database).last.dry_run, "what is done is not hidden"
    assert [(one.wanted, one.dry_run) for one in decisions(database)] == [(2, True), (3, False)]
    for _ in range(3):
        assert decide(dry) == 2
    assert len(decisions(database)) == 2, "the same again is no news"


def test_what_could_not_be_done_is_not_remembered_as_done(
    scaler: Scaler, database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ActuatorFailed("no room")

    for _ in range(40):
        put_in(database, tenant)
    with monkeypatch.context() as patched:
        patched.setattr(scaler.actuator, "scale", fails)
        for _ in range(4):
            time.sleep(0.06)
            assert scaler.scale_due() == []
    assert decide(scaler) == 3, "no change was made that would hold this one back"


def test_a_first_look_that_fails_forgets_nothing(
    database: Database, actuator: Processes, folder: Path, tenant: TenantId
) -> None:
    (folder / "default.yaml").write_text(manifest(cooldownPeriod=3600))
    first = Scaler(database=database, actuator=actuator, folder=Folder(folder))
    claim = put_in(database, tenant)
    assert decide(first) == 1
    with database.begin(tenant) as tx:
        stops.cancel(tx, claim.id)
    again = Scaler(database=database, actuator=actuator, folder=Folder(folder))
    assert decide(again, away="a statement timed out") == 1
    assert decide(again) == 1, "the cooldown has an hour to go"


def test_one_pool_that_cannot_be_decided_does_not_stop_the_others(
    scaler: Scaler, database: Database, tenant: TenantId, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "calls.yaml").write_text(manifest("calls"))
    scaler.reload()
    put_in(database, tenant)
    with database.platform() as tx:
        tx.sql("INSERT INTO pools SELECT 'calls', 0, 0, 0, 1, '', '{}', false, '{\"odd\": 1}', now()")
    real = scaler.folder.pools["calls"].rules[0]

    def broken(*_: object) -> Any:
        raise RuntimeError("unexpected")

    with monkeypatch.context() as patched:
        patched.setattr(type(real), "read", lambda rule, *rest: broken() if rule is real else _depth(rule, *rest))
        assert decide(scaler) == 1
    time.sleep(0.06)
    assert [decision.wanted for decision in scaler.scale_due()] == [0, 1], "a memory that is not understood is none"


def _depth(rule: Depth, numbers: Numbers, replicas: int, now: float) -> Reading:
    return Reading(rule.name, numbers.runnable, rule.value, active=numbers.runnable > 0)


def test_a_pool_whose_file_is_gone_is_sent_home(
    scaler: Scaler, database: Database, tenant: TenantId, folder: Path, tmp_path: Path
) -> None:
    (folder / "calls.yaml").write_text(manifest("calls"))
    scaler.leads = True
    scaler.reload()
    put_in(database, tenant)
    time.sleep(0.06)
    scaler.scale_due()
    until(lambda: len(notes.read(tmp_path / "workers")) == 1)
    (folder / "default.yaml").unlink()
    scaler.reload()
    until(lambda: not notes.read(tmp_path / "workers"))
    assert standing(database).name == "calls"


def test_one_leads_and_another_takes_over(
    database: Database, actuator: Processes, folder: Path, tenant: TenantId
) -> None:
    first, second = (Scaler(database=database, actuator=actuator, folder=Folder(folder)) for _ in range(2))
    put_in(database, tenant)
    with running(second):
        with running(first):
            until(lambda: decisions(database))
            until(lambda: first.leads != second.leads)
            leader = first if first.leads else second
            assert leader.leads
        until(lambda: second.leads)


def test_one_that_begins_to_lead_forgets_pools_that_are_no_more(scaler: Scaler, database: Database) -> None:
    with database.platform() as tx:
        tx.sql("INSERT INTO pools SELECT 'gone', 4, 4, 1, 4, '', '{\"triggers\": []}', false, '{}', now()")
    with running(scaler):
        until(lambda: names(database) == ["default"])


def test_a_file_that_changes_is_obeyed_and_one_that_is_wrong_changes_nothing(
    scaler: Scaler, database: Database, tenant: TenantId, folder: Path
) -> None:
    for _ in range(9):
        put_in(database, tenant)
    assert decide(scaler) == 3
    (folder / "default.yaml").write_text(manifest(maxReplicaCont=5))
    scaler.reload()
    assert decide(scaler) == 3
    assert "did you mean 'maxReplicaCount'?" in standing(database).last.inputs["trouble"]
    (folder / "default.yaml").write_text(manifest(maxReplicaCount=5))
    scaler.reload()
    assert decide(scaler) == 5
    assert standing(database).last.inputs["trouble"] is None


def test_a_pool_whose_replicas_cannot_be_counted_does_not_stop_the_others(
    scaler: Scaler, database: Database, tenant: TenantId, folder: Path, tmp_path: Path
) -> None:
    away = (tmp_path / "workers").rename(tmp_path / "away")
    time.sleep(0.06)
    assert scaler.scale_due() == []
    away.rename(tmp_path / "workers")
    put_in(database, tenant)
    assert decide(scaler) == 1
