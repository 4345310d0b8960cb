import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import home as homes
from deploy.local import orphans
from deploy.local.errors import AlreadyRunning
from tests.deploy.standins import WAITS

ROOT = Path(__file__).parent.parent.parent
PYTHON = (sys.executable, "-I", "-S", "-c")


def launch(home: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a launcher of stand-ins; returns it and everything below it, once all of it is ready."""
    launcher = subprocess.Popen(
        (sys.executable, "-m", "tests.deploy.launcher", str(home), "standins"),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert launcher.stdout is not None
    assert json.loads(launcher.stdout.readline()).keys() == {"plain", "stubborn", "family"}
    return launcher, psutil.Process(launcher.pid).children(recursive=True)


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    with subprocess.Popen((*PYTHON, WAITS), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_a_second_launcher_is_refused_with_the_number_of_the_first(home: Path) -> None:
    with homes.held(home), pytest.raises(AlreadyRunning, match=f"in use by process {os.getpid()}"), homes.held(home):
        pytest.fail("two launchers in one home")
    with homes.held(home):
        assert homes.holder(home) == os.getpid()
    assert homes.holder(home) is None
    assert not (home / "lock").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing(home: Path, number: signal.Signals) -> None:
    launcher, below = launch(home)
    with launcher:
        launcher.send_signal(number)
        assert launcher.wait(timeout=60) == 0
    assert len(below) == 5
    assert not any(map(orphans.lives, below))
    assert sorted(path.name for path in home.iterdir()) == ["log"]


def test_what_a_killed_launcher_left_is_stopped_by_the_next(home: Path) -> None:
    launcher, below = launch(home)
    with launcher:
        launcher.kill()
        launcher.wait()
        assert all(process.is_running() for process in below)
        with homes.held(home) as left:  # the orphans do not hold the lock
            assert {line.split()[0] for line in left} >= {"plain", "stubborn", "family"}
            assert not any(map(orphans.lives, below))
    assert sorted(path.name for path in home.iterdir()) == ["log"]


def test_an_orphan_that_was_never_written_down_is_known_by_its_mark(home: Path) -> None:
    marked = {homes.MARK: str(home)}
    with (
        subprocess.Popen((*PYTHON, WAITS), env=marked, stdout=subprocess.DEVNULL) as orphan,
        homes.held(home) as left,
    ):
        assert [str(orphan.pid) in line for line in left] == [True]
        assert orphan.poll() is not None  # ours to collect: until then its number is taken by what is left of it


def test_an_orphan_of_another_home_is_left_alone(home: Path, tmp_path: Path) -> None:
    elsewhere = {homes.MARK: str(tmp_path / "another")}
    with subprocess.Popen((*PYTHON, WAITS), env=elsewhere, stdout=subprocess.DEVNULL) as other:
        with homes.held(home) as left:
            assert left == []
        assert other.poll() is None
        other.kill()


def test_a_stranger_with_a_number_of_ours_is_not_hurt(home: Path, stranger: psutil.Process) -> None:
    homes.remember(home, {"api": stranger.pid})
    notes = json.loads((home / "processes.json").read_text())
    notes["api"]["started"] -= 60  # what ran under this number was started a minute before
    (home / "processes.json").write_text(json.dumps(notes))
    with homes.held(home) as left:
        assert left == []
    assert stranger.is_running()


def test_a_number_that_nobody_has_any_more_is_forgotten(home: Path, stranger: psutil.Process) -> None:
    homes.remember(home, {"api": stranger.pid})
    stranger.kill()
    stranger.wait()
    with homes.held(home) as left:
        assert left == []


def test_damaged_notes_are_forgotten(home: Path) -> None:
    for damage in ("", "{", "[]", '{"api": 1}', '{"api": {"pid": "x"}}'):
        (home / "processes.json").write_text(damage)
        with homes.held(home) as left:
            assert left == []
