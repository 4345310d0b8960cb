import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from api.cli.commands import cli
from deploy.local import demo
from deploy.local.stack import Running

ROOT = Path(demo.__file__).parent.parent.parent


@pytest.fixture
def here(platform: Running, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, from which the platform is found."""
    monkeypatch.setenv("MILLRACE_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            found[path.name] = picture.size
    return found


def test_the_sample_photographs_go_through_the_whole_platform(
    here: Path, platform: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.run([]) == 0
    said = capsys.readouterr().out
    assert re.search(r"First result \d+\.\d\d s after submitting", said)
    assert f"Variants  {here / 'millrace-demo'}\n" in said
    assert re.search(r"coffee.png +labels +espresso 0.9\d, ", said)
    assert re.search(r"astronaut.png +faces +1 face\n", said)
    assert f"API docs  {platform.api}/docs" in said
    assert platform.flower in said
    made = sizes(here / "millrace-demo")
    assert len(made) == 12
    assert made["rocket-thumbs-small.webp"] == (320, 214)
    row = next(line for line in said.splitlines() if "rocket-thumbs-small.webp" in line).split()
    assert row[:3] == ["rocket.jpg", "small", "320\N{MULTIPLICATION SIGN}214"]
    assert row[-1].startswith(f"{platform.api}/v1/jobs/job_")


def test_a_photograph_that_fails_is_named_with_its_reason_and_the_log(
    here: Path, home: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "letter.jpg").write_text("Dear platform")
    assert demo.run([str(photos / "rocket.jpg"), "letter.jpg"]) == 1
    said = capsys.readouterr()
    assert "error: letter.jpg: step 'thumbs' failed: " in said.err
    assert f"log: {home}/log/worker-images.log" in said.err
    assert len(sizes(here / "millrace-demo")) == 3
    assert "rocket.jpg: succeeded" in said.out


@pytest.mark.parametrize(("name", "why"), [("missing.jpg", "No such file or directory"), (".", "is a folder")])
def test_what_cannot_be_read_is_said_before_anything_starts(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    assert demo.run([name]) == 2
    assert f"error: {name}: {why}" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_photos_of_one_name_become_files_of_different_names(here: Path, photos: Path) -> None:
    for folder, photo in (("a", "rocket.jpg"), ("b", "chelsea.png")):
        (here / folder).mkdir()
        (here / folder / f"photo{Path(photo).suffix}").write_bytes((photos / photo).read_bytes())
    result = run("submit", "a/photo.jpg", "b/photo.png", "--output", "out")
    assert result.exit_code == 0, result.stderr
    made = sizes(here / "out")
    assert (made["photo-thumbs-small.webp"], made["photo-2-thumbs-small.webp"]) == ((320, 214), (320, 213))
    assert len(made) == 6
    assert "6 files in out" in result.stderr


def test_a_photo_is_never_overwritten_by_what_is_made_of_another(here: Path, photos: Path) -> None:
    rocket = (photos / "rocket.jpg").read_bytes()
    (here / "a.jpg").write_bytes(rocket)
    (here / "a-thumbs-large.jpg").write_bytes(rocket)
    assert run("submit", "a.jpg", "a-thumbs-large.jpg", "--output", ".").exit_code == 0
    assert (here / "a-thumbs-large.jpg").read_bytes() == rocket
    assert (here / "a-thumbs-large-2.jpg").exists()


def test_a_job_of_several_steps_is_watched_to_its_end(here: Path) -> None:
    steps = {"one": {"kind": "echo"}, "two": {"kind": "echo", "use": ["one"]}}
    (here / "spec.json").write_text(json.dumps({"steps": steps}))
    result = run("submit", "--job", "spec.json", "--watch", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["state"] == "succeeded"
    said = [line.partition(": ")[2] for line in result.stderr.splitlines()]
    assert said[1:5] == ["one running", "one succeeded", "two running", "two succeeded"]


def test_on_a_terminal_bars_and_links_stay_within_its_width(here: Path) -> None:
    status, shown = on_a_terminal(sys.executable, "-m", "deploy.local", "demo")
    assert status == 0
    assert "\x1b]8;" in shown  # links that can be clicked
    lines = re.sub(r"\x1b\]8;[^\x1b]*\x1b\\|\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").splitlines()
    assert max(len(line) for line in lines if "━" in line or "/thumbs/" in line) <= 100
    assert any(re.search("✓  astronaut.png +━+ +100%  succeeded in", line) for line in lines)
    assert any(re.search("     thumbs +━+ +100%  succeeded", line) for line in lines)
    assert any(re.search("astronaut-thumbs-small.webp +…[0-9a-z]{5}/thumbs/small", line) for line in lines)


def on_a_terminal(*command: str) -> tuple[int, str]:
    """Run a command on a terminal of 100 columns; its exit status and all that was written."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI"):
        environ.pop(name, None)
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the last end has been closed
        while chunk := os.read(ours, 65_536):
            written += chunk
    os.close(ours)
    return process.wait(), written.decode()
