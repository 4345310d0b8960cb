import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local import home as homes

ROOT = Path(__file__).parent.parent.parent


def run(home: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "deploy.local", *command),
        cwd=ROOT,
        env={**os.environ, "MILLRACE_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", [(), ("up",), ("down",), ("status",), ("demo",), ("env",)])
def test_every_command_explains_itself(home: Path, command: tuple[str, ...]) -> None:
    result = run(home, *command, "--help")
    assert result.returncode == 0
    assert "Usage: python -m deploy.local" in result.stdout


def test_where_nothing_runs_status_says_so_and_down_has_nothing_to_do(home: Path) -> None:
    status = run(home, "status")
    assert (status.returncode, status.stdout) == (1, "Nothing runs here.\n")
    env = run(home, "env")
    assert (env.returncode, env.stdout) == (1, "")
    assert "nothing runs here" in env.stderr
    down = run(home, "down")
    assert (down.returncode, down.stdout) == (0, "Nothing is left running.\n")


def test_a_second_up_is_refused_in_one_line(home: Path) -> None:
    with homes.held(home):
        result = run(home, "up")
    assert result.returncode == 1
    assert result.stderr.strip() == f"error: {home} is in use by process {os.getpid()}; stop that one first"


def test_a_bad_setting_is_named_in_one_line(home: Path) -> None:
    result = run(home, "up", MILLRACE_WEED_BIN="/nowhere/weed")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: MILLRACE_WEED_BIN: /nowhere/weed is not a program that can be run"


def test_a_part_that_fails_ends_up_with_one_readable_block(home: Path) -> None:
    nowhere = "postgresql://nobody:x@127.0.0.1:1/nothing"
    result = run(
        home, "up", DATABASE_URL=nowhere, CELERY_BROKER_URL="redis://127.0.0.1:1/0", STORAGE_URL="s3://nothing"
    )
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert " failed (exit status 1)." in result.stderr
    assert f"Its log, {home}/log/" in result.stderr
    assert 'File "' not in result.stderr.split("Its log")[0]
    assert not (home / "lock").exists()
    assert not (home / "run.json").exists()


def test_down_removes_what_a_killed_launcher_left(home: Path) -> None:
    launcher = subprocess.Popen(
        (sys.executable, "-m", "tests.deploy.launcher", str(home), "s3"), cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    with launcher:
        assert launcher.stdout is not None
        port = urlsplit(json.loads(launcher.stdout.readline())["AWS_ENDPOINT_URL_S3"]).port
        launcher.kill()
    status = run(home, "status")
    assert status.returncode == 1
    assert "a killed run has left: s3" in status.stdout
    down = run(home, "down")
    assert down.returncode == 0
    assert "Stopped what was left: s3 (process" in down.stdout
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock"))
    assert run(home, "status").stdout == "Nothing runs here.\n"


def test_down_stops_a_launcher_that_runs(home: Path) -> None:
    with subprocess.Popen(
        (sys.executable, "-m", "tests.deploy.launcher", str(home), "standins"),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    ) as launcher:
        assert launcher.stdout is not None
        launcher.stdout.readline()
        down = run(home, "down")
        assert down.stdout == f"Stopped the platform of process {launcher.pid}.\nNothing is left running.\n"
        assert launcher.wait(timeout=60) == 0
