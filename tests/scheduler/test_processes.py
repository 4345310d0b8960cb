"""Replicas as processes: watched, replaced, ended in time, and found again by the next scaler."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from scheduler import notes, pools
from scheduler.errors import ActuatorFailed
from scheduler.notes import Note
from scheduler.pools import Pool
from scheduler.processes import TICK_SECONDS, Processes
from tests.waiting import until

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
POLITE = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path("{done}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def pool() -> Pool:
    return replace(pools.load()["images"], command=("sleep", "600"))


Open = Callable[[], Processes]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Makes scalers' actuators one after the other, at one folder."""
    made: list[Processes] = []

    def make() -> Processes:
        made.append(Processes(tmp_path / "workers", tmp_path / "log", os.environ))
        made[-1].begin()
        return made[-1]

    yield make
    for actuator in made[-1:]:
        actuator.stop_all(warm_seconds=0.2, grace_seconds=0)
    assert not notes.read(tmp_path / "workers")


def there(folder: Path, number: int) -> list[Note]:
    until(lambda: len(notes.read(folder / "workers")) == number)
    return notes.read(folder / "workers")


def test_the_next_scaler_adopts_what_the_last_one_left(opened: Open, pool: Pool, tmp_path: Path) -> None:
    first = opened()
    first.scale(pool, 2, {})
    before = there(tmp_path, 2)
    first.close()
    second = opened()
    assert second.replicas(pool) == 2
    assert notes.read(tmp_path / "workers") == before
    second.scale(pool, 1, {before[1].replica: 1})
    assert there(tmp_path, 1) == [before[1]]


def test_one_that_was_told_to_end_is_not_adopted(opened: Open, pool: Pool, tmp_path: Path) -> None:
    stubborn = replace(pool, command=(sys.executable, "-c", STUBBORN))
    first = opened()
    first.scale(stubborn, 2, {})
    until(lambda: (tmp_path / "log" / "worker-images.log").read_text().count("up") == 2)
    first.scale(stubborn, 1, {})
    first.close()
    assert [note.leave_by is None for note in there(tmp_path, 2)].count(True) == 1
    assert opened().replicas(stubborn) == 1


def test_a_stranger_that_got_the_number_of_one_that_died_is_left_alone(
    opened: Open, pool: Pool, tmp_path: Path
) -> None:
    first = opened()
    first.scale(pool, 1, {})
    [note] = there(tmp_path, 1)
    first.close()
    psutil.Process(note.pid).kill()
    path = tmp_path / "workers" / f"{note.replica}.json"
    path.write_text(path.read_text().replace(f'"pid": {note.pid}', f'"pid": {os.getpid()}'))
    second = opened()
    assert second.replicas(pool) == 0
    second.scale(pool, 0, {})


@pytest.mark.parametrize("adopted", [False, True])
def test_one_that_dies_is_replaced(opened: Open, pool: Pool, tmp_path: Path, adopted: bool) -> None:
    actuator = opened()
    actuator.scale(pool, 2, {})
    before = there(tmp_path, 2)
    if adopted:
        actuator.close()
        actuator = opened()
        assert actuator.replicas(pool) == 2
    psutil.Process(before[0].pid).kill()
    until(lambda: len({n.pid for n in notes.read(tmp_path / "workers")} - {before[0].pid}) == 2)
    assert actuator.replicas(pool) == 2


def test_one_that_dies_again_and_again_is_started_with_growing_pauses(opened: Open, pool: Pool, tmp_path: Path) -> None:
    actuator = opened()
    actuator.scale(replace(pool, command=(sys.executable, "-c", "print('dead')")), 1, {})
    log = tmp_path / "log" / "worker-images.log"
    until(lambda: log.read_text().count("dead") == 3)  # at 0, 0.5 and 1.5 s
    assert log.read_text().count("dead") == 3
    assert actuator.replicas(pool) == 1


def test_one_that_leaves_has_its_time_and_is_killed_when_it_is_over(opened: Open, pool: Pool, tmp_path: Path) -> None:
    done = tmp_path / "done"
    polite = replace(pool, command=(sys.executable, "-c", POLITE.format(done=done)), grace_seconds=60)
    stubborn = replace(pool, name="ai", command=(sys.executable, "-c", STUBBORN), grace_seconds=0.3)
    actuator = opened()
    for one in (polite, stubborn):
        log = tmp_path / "log" / f"worker-{one.name}.log"
        actuator.scale(one, 1, {})
        until(lambda log=log: "up" in log.read_text())  # type: ignore[misc]
        actuator.scale(one, 0, {})
    there(tmp_path, 0)
    assert done.exists()


def test_a_replica_gets_its_name_and_what_its_pool_says(opened: Open, pool: Pool, tmp_path: Path) -> None:
    shows = "import os, time; print(os.environ['POD_NAME'], os.environ['A'], os.environ['HOME'], flush=True)"
    command = ("python", "-c", f"{shows}; time.sleep(600)", "$(POD_NAME)", "$(NOTHING)")
    opened().scale(replace(pool, command=command, env={"A": "1", "HOME": "/of/the/pool"}), 1, {})
    [note] = there(tmp_path, 1)
    log = tmp_path / "log" / "worker-images.log"
    until(lambda: log.read_text().endswith("\n"))
    assert log.read_text().split() == [note.replica, "1", os.environ["HOME"]]  # what this machine says wins
    assert note.replica.startswith("images-")
    assert psutil.Process(note.pid).cmdline()[-2:] == [note.replica, "$(NOTHING)"]


def test_only_one_scaler_looks_after_a_folder_and_others_only_count(opened: Open, pool: Pool, tmp_path: Path) -> None:
    first = opened()
    first.scale(pool, 2, {})
    there(tmp_path, 2)
    second = Processes(tmp_path / "workers", tmp_path / "log", os.environ)
    assert second.replicas(pool) == 2
    with pytest.raises(ActuatorFailed, match="another scaler looks after"):
        second.begin()
    with pytest.raises(ActuatorFailed, match="does not lead here"):
        second.scale(pool, 0, {})
    first.scale(pool, 1, {})
    there(tmp_path, 1)
    assert second.replicas(pool) == 1
    first.rest()
    second.begin()
    second.scale(pool, 0, {})
    there(tmp_path, 0)
    second.close()


def test_one_that_leaves_keeps_its_time_when_another_scaler_begins(opened: Open, pool: Pool, tmp_path: Path) -> None:
    stubborn = replace(pool, command=(sys.executable, "-c", STUBBORN), grace_seconds=600)
    first = opened()
    first.scale(stubborn, 1, {})
    until(lambda: "up" in (tmp_path / "log" / "worker-images.log").read_text())
    first.scale(stubborn, 0, {})
    first.close()
    [note] = notes.read(tmp_path / "workers")
    assert note.leave_by is not None
    assert note.leave_by - time.monotonic() == pytest.approx(600, abs=30)
    opened()
    time.sleep(3 * TICK_SECONDS)
    assert notes.read(tmp_path / "workers") == [note]


def test_one_that_cannot_be_noted_does_not_live(
    opened: Open, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    actuator = opened()
    monkeypatch.setattr(notes, "write", full)
    marked = replace(pool, command=("sleep", "601.5"))
    with pytest.raises(ActuatorFailed, match="No space left"):
        actuator.scale(marked, 1, {})
    time.sleep(3 * TICK_SECONDS)
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "601.5"]]
    monkeypatch.undo()
    there(tmp_path, 1)  # and is tried again
    assert actuator.replicas(marked) == 1


def test_what_a_killed_replica_leaves_behind_is_ended(opened: Open, pool: Pool, tmp_path: Path) -> None:
    forks = replace(pool, command=("sh", "-c", "sleep 602.5 & echo up; wait"))
    actuator = opened()
    actuator.scale(forks, 1, {})
    until(lambda: "up" in (tmp_path / "log" / "worker-images.log").read_text())
    [note] = there(tmp_path, 1)
    [below] = psutil.Process(note.pid).children()
    psutil.Process(note.pid).kill()
    until(lambda: not below.is_running() or below.status() == psutil.STATUS_ZOMBIE)


def test_a_changed_command_comes_to_one_replica_after_another(
    opened: Open, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.processes.SETTLED_SECONDS", 0.1)
    actuator = opened()
    actuator.scale(pool, 2, {})
    before = {note.replica for note in there(tmp_path, 2)}
    changed = replace(pool, command=("sleep", "603"))
    assert actuator.replicas(changed) == 2
    until(lambda: len(now := notes.read(tmp_path / "workers")) == 2 and not before & {n.replica for n in now})
    assert {tuple(psutil.Process(n.pid).cmdline()) for n in notes.read(tmp_path / "workers")} == {("sleep", "603")}


def test_replicas_that_die_again_and_again_are_told_of(opened: Open, pool: Pool) -> None:
    actuator = opened()
    actuator.scale(replace(pool, command=("sh", "-c", "exit 78")), 1, {})
    words = until(lambda: actuator.trouble("images"))
    assert words.startswith("its replicas die, 2 by now, the last with exit status 78; log: ")
    assert actuator.trouble("ai") is None


def test_a_signal_to_the_scalers_group_does_not_reach_its_replicas(opened: Open, pool: Pool, tmp_path: Path) -> None:
    opened().scale(pool, 1, {})
    [note] = there(tmp_path, 1)
    assert os.getsid(note.pid) == note.pid
