import importlib.metadata
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tasks.vision import text
from tasks.vision.manifest import ModelRefused
from tasks.vision.model import ModelFailed
from tasks.vision.text import MODELS, Reader, installed, verify
from tests.tasks.vision.test_text import page, pixels_of, texts

pytestmark = pytest.mark.skipif(not installed(), reason="needs the extra 'text': make .venv/.installed")

SIGN = ["GATE", "B12", "EXIT"]

# The children of a process that made the networks: all that they read, as JSON lines. None destroys anything.
FORKS = """
import json, os, sys
import numpy as np
from tasks.vision.text import Reader
pixels = np.load(sys.argv[1])
reader = Reader()
print(json.dumps(reader.read(pixels)), flush=True)
for _ in range(10):
    child = os.fork()
    if child == 0:
        print(json.dumps(reader.read(pixels)), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""

QUIET = """
import logging, socket
levels = logging.root.level, logging.root.handlers[:]
def closed(*_, **__):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = closed
import numpy as np
from tasks.vision.text import Reader
reader = Reader()
assert reader.read(np.full((90, 120, 3), 255, np.uint8)) == []
assert (logging.root.level, logging.root.handlers) == levels
assert logging.getLogger("rapidocr").level == logging.NOTSET
"""

ABSENT = """
import sys
sys.modules["rapidocr"] = None
from tasks.vision.manifest import ModelRefused
from tasks.vision.text import Reader, installed, verify
assert not installed()
for door in (Reader, verify):
    try:
        door()
    except ModelRefused as exc:
        assert "the extra 'text' of Millrace" in str(exc)
    else:
        raise AssertionError("not refused")
"""


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def run(source: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", source, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_same_picture_has_the_same_answer_in_every_forked_child(tmp_path: Path) -> None:
    np.save(tmp_path / "page.npy", pixels_of(page(SIGN, size=60)))

    done = run(FORKS, str(tmp_path / "page.npy"))

    assert (done.returncode, done.stderr) == (0, "")
    [first, *others] = done.stdout.splitlines()
    assert texts(json.loads(first)) == SIGN
    assert others == [first] * 10


def test_it_neither_chatters_nor_asks_the_network_nor_touches_other_loggers() -> None:
    done = run(QUIET)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_package_the_refusal_says_what_to_install() -> None:
    done = run(ABSENT)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.15])
def test_a_time_limit_in_the_midst_stays_itself_and_breaks_nothing(reader: Reader, seconds: float) -> None:
    pixels = pixels_of(page(SIGN, size=60))
    expected = reader.read(pixels)

    def limit(_signal: int, _frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded

    def is_stopped() -> bool:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            reader.read(pixels)
        except SoftTimeLimitExceeded:
            return True
        except TypeError:  # numpy swallowed it, while it asked an operand what it is
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    before = signal.signal(signal.SIGALRM, limit)
    try:
        # Python swallows what a signal's function raises while a finalizer runs: then the hard limit is what stops it.
        assert any(is_stopped() for _ in range(3))
    finally:
        signal.signal(signal.SIGALRM, before)

    assert reader.read(pixels) == expected


def test_a_network_that_fails_is_an_error_and_not_an_empty_list(reader: Reader) -> None:
    with pytest.raises(ModelFailed, match="PP-OCRv6"):
        reader.read(np.zeros((64, 64, 4), np.uint8))
    detector: Any = reader._package.text_det
    with pytest.raises(ModelFailed, match="PP-OCRv6"), text._failing():
        detector.session(np.zeros((1, 4, 64, 64), np.float32))


def test_the_networks_are_those_that_we_know() -> None:
    verify()

    assert importlib.metadata.version("rapidocr") == text.VERSION
    assert importlib.metadata.metadata("rapidocr")["License-Expression"] == text.LICENCE


@pytest.mark.parametrize("place", range(3))
def test_a_network_that_is_another_is_named(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, (_, broken, _) = text._folder(), MODELS[place]
    (tmp_path / "models").mkdir()
    for _, file, _ in MODELS:
        (tmp_path / file).symlink_to(whole / file)
    monkeypatch.setattr(text, "_folder", lambda: tmp_path)
    verify()

    (tmp_path / broken).unlink()
    with pytest.raises(ModelRefused, match=f"{broken.name} cannot be read"):
        verify()
    with pytest.raises(ModelRefused, match=broken.name):
        Reader()

    shutil.copy(whole / broken, tmp_path / broken)
    with (tmp_path / broken).open("r+b") as stream:
        stream.write(b"?")
    with pytest.raises(ModelRefused, match=f"{broken.name} has SHA-256"):
        verify()
