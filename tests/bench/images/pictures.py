"""The photographs of the bench: mosaics of real ones at their own size, with a photograph's detail everywhere."""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

OURS = Path(__file__).parents[3] / "deploy" / "photos"
SOURCES = {  # distribution → the photographs in it: CC BY 2.0 (scikit-learn), public domain and CC0 (scikit-image)
    "scikit-learn": ("china.jpg", "flower.jpg"),
    "scikit-image": ("retina.jpg", "coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"),
}
SIDES = {2: (1632, 1224), 12: (4000, 3000), 48: (8000, 6000)}  # megapixels → width and height


def corpus(folder: Path, megapixels: Iterable[int]) -> dict[str, Path]:
    """Make the JPEGs (quality 90, 4:2:0) that are not in the folder yet, by name: "12 MP baseline"."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    tiles: list[Image.Image] = []
    for size in megapixels:
        for kind in ("baseline", "progressive"):
            path = made[f"{size} MP {kind}"] = folder / f"{size}-{kind}.jpg"
            if not path.exists():
                tiles = tiles or list(_tiles(folder))
                _mosaic(tiles, SIDES[size]).save(path, quality=90, progressive=kind == "progressive")
    return made


def _mosaic(tiles: list[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Rows of photographs side by side, every second one mirrored, each row beginning with another one."""
    whole = Image.new("RGB", size)
    y = row = 0
    while y < size[1]:
        x, column, lowest = -37 * row % 200 - 200, row, y + 10_000
        while x < size[0]:
            tile = tiles[column % len(tiles)]
            whole.paste(tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if (row + column) % 2 else tile, (x, y))
            x, column, lowest = x + tile.width, column + 1, min(lowest, y + tile.height)
        y, row = lowest, row + 1
    return whole


def _tiles(folder: Path) -> Iterable[Image.Image]:
    found = 0
    for distribution, names in SOURCES.items():
        for data in _members(distribution, names, folder):
            found += 1
            yield _bounded(Image.open(io.BytesIO(data)).convert("RGB"))
    if not found:
        print("The packages with photographs cannot be had: the four of deploy/photos must do")
        for path in sorted(OURS.glob("*.[jp][pn]g")):
            yield _bounded(Image.open(path).convert("RGB"))


def _bounded(image: Image.Image) -> Image.Image:
    """At most 640 pixels a side, so that no photograph counts for more than another."""
    image.thumbnail((640, 640), Image.Resampling.LANCZOS)
    return image


def _members(distribution: str, names: tuple[str, ...], cache: Path) -> Iterable[bytes]:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, distribution]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return
        for archive in Path(folder).iterdir():
            yield from _of_archive(archive, names)


def _of_archive(archive: Path, names: tuple[str, ...]) -> Iterable[bytes]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from (wheel.read(name) for name in sorted(wheel.namelist()) if Path(name).name in names)
        return
    with tarfile.open(archive) as source:
        for member in sorted(source.getmembers(), key=lambda one: one.name):
            if Path(member.name).name in names and (file := source.extractfile(member)) is not None:
                yield file.read()
