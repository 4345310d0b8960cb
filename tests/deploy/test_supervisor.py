import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.local import orphans
from deploy.local.errors import PartFailed
from deploy.local.part import Layer
from deploy.local.running import running
from deploy.local.supervisor import Pace
from tests.deploy.standins import (
    DIES,
    FAMILY,
    NEVER_READY,
    QUICK,
    STUBBORN,
    WAITS,
    Lines,
    Pids,
    children,
    program,
)


def test_parts_start_when_those_they_need_are_ready(home: Path, lines: Lines) -> None:
    parts = [
        program(home, "third", WAITS, after=("second",)),
        program(home, "second", "print('all in order')", layer=Layer.STEP, after=("first",)),
        program(home, "first", WAITS, layer=Layer.SERVER),
    ]
    with running(home, parts, say=lines.say):
        assert [line.split(" at ")[0] for line in lines.said] == ["first: ready", "second: done", "third: ready"]
    assert not children()


def test_a_failing_step_ends_the_start_with_its_status_and_the_end_of_its_log(home: Path, lines: Lines) -> None:
    parts = [program(home, "server", WAITS, layer=Layer.SERVER), program(home, "migrate", DIES, layer=Layer.STEP)]
    with pytest.raises(PartFailed) as failed, running(home, parts, say=lines.say):
        pytest.fail("it must not get ready")
    assert "migrate failed (exit status 3)" in str(failed.value)
    assert "| boom" in str(failed.value)
    assert str(home / "log" / "migrate.log") in str(failed.value)
    assert not children()


def test_a_part_that_dies_is_started_again_after_a_growing_delay(home: Path, lines: Lines, pids: Pids) -> None:
    with running(home, [program(home, "worker", WAITS)], say=lines.say, changed=pids.tell, pace=QUICK):
        for delay in ("0.02 s", "0.04 s", "0.08 s", "0.1 s", "0.1 s"):
            before = pids["worker"]
            os.kill(before, signal.SIGKILL)
            line = lines.wait_for("died")
            assert "worker: died (killed by SIGKILL)" in line
            assert f"next try in {delay}" in line
            assert str(home / "log" / "worker.log") in line
            lines.wait_for("worker: ready again")
            assert pids["worker"] != before


def test_a_good_run_sets_the_delay_back(home: Path, lines: Lines, pids: Pids) -> None:
    pace = Pace(first_delay=0.02, good_run=0.0, probe_every=0.01)
    with running(home, [program(home, "worker", WAITS)], say=lines.say, changed=pids.tell, pace=pace):
        for _ in range(3):
            os.kill(pids["worker"], signal.SIGKILL)
            assert "next try in 0.02 s" in lines.wait_for("died")
            lines.wait_for("ready again")


def test_a_part_that_dies_five_times_before_it_is_ready_stops_everything(home: Path, lines: Lines) -> None:
    parts = [program(home, "server", WAITS, layer=Layer.SERVER), program(home, "api", DIES)]
    with pytest.raises(PartFailed) as failed, running(home, parts, say=lines.say, pace=QUICK):
        pytest.fail("it must not get ready")
    assert "api died 5 times before it was ready, at last with exit status 3" in str(failed.value)
    assert "| boom" in str(failed.value)
    assert len([line for line in lines.said if "api: died (exit status 3)" in line]) == 4
    assert not children()


def test_a_part_that_stops_getting_ready_later_is_reported_to_who_waits(home: Path, lines: Lines, pids: Pids) -> None:
    once = f"import pathlib, sys; pathlib.Path('gone').exists() and sys.exit(4)\n{WAITS}"
    with running(home, [program(home, "worker", once)], say=lines.say, changed=pids.tell, pace=QUICK) as supervisor:
        (home / "gone").touch()
        os.kill(pids["worker"], signal.SIGKILL)
        with pytest.raises(PartFailed, match="worker died 5 times before it was ready, at last with exit status 4"):
            supervisor.wait_failed()


def test_a_part_with_bad_settings_is_not_tried_again(home: Path, lines: Lines) -> None:
    refuses = "import os, sys; print('error: PORT must be a number', flush=True); sys.exit(os.EX_CONFIG)"
    with pytest.raises(PartFailed) as failed, running(home, [program(home, "api", refuses)], say=lines.say, pace=QUICK):
        pytest.fail("it must not get ready")
    assert "api cannot start with these settings" in str(failed.value)
    assert "| error: PORT must be a number" in str(failed.value)
    assert not lines.said


def test_a_part_that_does_not_get_ready_in_time_is_named_with_its_log(home: Path, lines: Lines) -> None:
    part = program(home, "flower", NEVER_READY, ready_seconds=0.3)
    with pytest.raises(PartFailed) as failed, running(home, [part], say=lines.say):
        pytest.fail("it must not get ready")
    assert "flower was not ready within 0.3 s" in str(failed.value)
    assert "| still loading" in str(failed.value)
    assert not children()


def test_a_program_that_is_not_there_is_named(home: Path, lines: Lines) -> None:
    part = program(home, "api", WAITS, cwd=home / "nowhere")
    with pytest.raises(PartFailed, match=r"api cannot start: .*No such file"), running(home, [part], say=lines.say):
        pytest.fail("it must not get ready")


def test_a_mistake_in_a_check_of_ours_stops_the_start_instead_of_hanging_it(home: Path, lines: Lines) -> None:
    def mistaken(_log_start: int) -> bool:
        raise ZeroDivisionError("a mistake")

    part = program(home, "api", WAITS, ready=mistaken)
    with pytest.raises(PartFailed, match="ZeroDivisionError: a mistake"), running(home, [part], say=lines.say):
        pytest.fail("it must not get ready")
    assert not children()


def test_stop_kills_who_ignores_its_signal_and_all_below_it(home: Path, lines: Lines, pids: Pids) -> None:
    parts = [
        program(home, "stubborn", STUBBORN, grace_seconds=0.2),
        program(home, "family", FAMILY, ready_seconds=10, stop_signal=signal.SIGUSR2, grace_seconds=0.0),
    ]
    with running(home, parts, say=lines.say, changed=pids.tell):
        family = children()
        assert len(family) == 4
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert not any(map(orphans.lives, family))


def test_when_a_leader_dies_its_group_goes_with_it(home: Path, lines: Lines, pids: Pids) -> None:
    with running(home, [program(home, "family", FAMILY)], say=lines.say, changed=pids.tell, pace=QUICK):
        leader = psutil.Process(pids["family"])
        in_group = [child for child in leader.children() if os.getpgid(child.pid) == leader.pid]
        elsewhere = [child for child in leader.children() if child not in in_group]
        leader.kill()
        lines.wait_for("ready again")
        assert len(in_group) == 1
        assert not orphans.wait_gone(in_group, 5)
    assert not any(map(orphans.lives, elsewhere))  # the one that had left the group goes at the stop, by its mark


def test_processes_stop_before_servers(home: Path, lines: Lines) -> None:
    process = """
import pathlib, signal, time
def leave(*_):
    pathlib.Path('process-is-gone').touch()
    raise SystemExit
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
while True:
    time.sleep(0.05)
"""
    server = """
import pathlib, signal, time
def leave(*_):
    print('alone' if pathlib.Path('process-is-gone').exists() else 'not alone', flush=True)
    raise SystemExit
signal.signal(signal.SIGINT, leave)
print('ready', flush=True)
while True:
    time.sleep(0.05)
"""
    parts = [
        program(home, "server", server, layer=Layer.SERVER, stop_signal=signal.SIGINT),
        program(home, "process", process),
    ]
    with running(home, parts, say=lines.say):
        pass
    assert (home / "log" / "server.log").read_text().splitlines() == ["ready", "alone"]


def test_hurry_does_not_wait_for_anybody(home: Path, lines: Lines) -> None:
    hurry = threading.Event()
    part = program(home, "stubborn", STUBBORN, grace_seconds=60)
    began = time.monotonic()
    with running(home, [part], say=lines.say, hurry=hurry):
        hurry.set()
    assert time.monotonic() - began < 5
    assert not children()


@pytest.mark.parametrize("problem", [ValueError("of the body"), KeyboardInterrupt()])
def test_everything_stops_when_the_body_raises(home: Path, lines: Lines, problem: BaseException) -> None:
    with pytest.raises(type(problem)), running(home, [program(home, "worker", WAITS)], say=lines.say):
        raise problem
    assert not children()
    assert not (home / "processes.json").exists()


def test_the_log_of_the_run_before_is_kept_once(home: Path, lines: Lines) -> None:
    for word in ("one", "two", "three"):
        with running(home, [program(home, "worker", f"print('{word}', flush=True)\n{WAITS}")], say=lines.say):
            pass
    log = home / "log" / "worker.log"
    assert log.read_text() == "three\nready\n"
    assert log.with_name("worker.log.1").read_text() == "two\nready\n"
    assert len(list(log.parent.iterdir())) == 2


def test_files_that_a_killed_program_leaves_are_removed(home: Path, lines: Lines) -> None:
    socket = home / "left.sock"
    part = program(home, "worker", f"open('left.sock', 'w').close()\n{WAITS}", leaves=(socket,))
    with running(home, [part], say=lines.say):
        assert socket.exists()
    assert not socket.exists()
