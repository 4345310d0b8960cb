"""`make bench-images`: pictures beside sharp, libvips and Pillow, each in a process of its own on one core.

The file is one object in; three pictures of other widths are objects out, at the same quality. A ratio
says how many times ours is as quick as that way; SSIM is the mean over the sizes. Rounds of all ways take turns.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from scheduler import pools
from tests.bench.images import likeness, pictures

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
ONE_CORE = {"VIPS_CONCURRENCY": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """`efforts`: by way; ours first."""

    picture: str
    format: str
    efforts: Mapping[str, int]
    rounds: int = 7

    @property
    def megapixels(self) -> int:
        return int(self.picture.split()[0])

    @property
    def widths(self) -> tuple[int, ...]:
        return (2048, 1024, 320) if self.megapixels > 2 else (1024, 640, 320)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Milliseconds per file, MiB, bytes of the three pictures together."""

    cpu: float
    wall: float
    peak_mib: float
    bytes: int
    ssim: float


def _efforts(ours: int, others: int) -> Mapping[str, int]:
    """Ours on its scale of 0 to 10, -1 for its default; the others on those of libvips and sharp."""
    return {"ours": ours} | dict.fromkeys(("sharp usual", "sharp tuned", "vipsthumbnail", "Pillow as usual"), others)


_JPEGS = [f"{size} MP {kind}" for size in (2, 12, 48) for kind in ("baseline", "progressive")]
CASES = (
    *(Case(picture=name, format="jpeg", efforts=_efforts(-1, -1)) for name in _JPEGS),
    Case(picture="12 MP baseline", format="webp", efforts=_efforts(-1, 4), rounds=5),  # sharp's default
    Case(picture="12 MP baseline", format="png", efforts=_efforts(-1, 6), rounds=5),  # sharp's default
    Case(picture="2 MP baseline", format="avif", efforts=_efforts(0, 0), rounds=3),
    Case(picture="2 MP baseline", format="avif", efforts=_efforts(2, 2), rounds=2),
)


@click.command()
@click.option("--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "millrace-bench-images")
@click.option("--only", default="", help="only cases whose name contains this, such as 'jpeg' or '12 MP'")
@click.option("--turns", default=2, show_default=True, help="processes per way")
def bench(cache: Path, only: str, turns: int) -> None:
    """Print a table per case, and what two processes on two cores make of it."""
    cases = [case for case in CASES if f" {only}" in f" {case.picture} → {case.format}"]
    found = pictures.corpus(cache, sorted({case.megapixels for case in cases}))
    for case in cases:
        figures = _measured(case, found[case.picture], cache, turns)
        _print(case, figures)
    if cases:
        _two_processes(found[cases[0].picture], cache)


def _measured(case: Case, file: Path, cache: Path, turns: int) -> dict[str, Figures]:
    # Debian's command writes no AVIF.
    has_command = shutil.which("vipsthumbnail") is not None and case.format != "avif"
    ways = [way for way in case.efforts if way != "vipsthumbnail" or has_command]
    runs: dict[str, list[Mapping[str, list[float]]]] = {way: [] for way in ways}
    for _ in range(turns):
        for way in ways:
            runs[way].append(_run(way, case, file, _folder(cache, way)))
    wanted = {width: likeness.reference(file, width) for width in case.widths}
    return {way: _figures(runs[way], _folder(cache, way), case.format, wanted) for way in ways}


def _folder(cache: Path, way: str) -> Path:
    folder = cache / way.replace(" ", "-").replace(",", "")
    folder.mkdir(exist_ok=True)
    return folder


def _command(way: str, case: Case, file: Path, folder: Path) -> list[str]:
    sizes = ",".join(map(str, case.widths))
    words = [case.format, str(case.efforts[way]), str(case.rounds), sizes, str(file), str(folder)]
    if way.startswith("sharp"):
        return [str(NODE), str(HERE / "sharp.mjs"), way.removeprefix("sharp "), *words]
    return [sys.executable, "-m", "tests.bench.images.way", way, *words]


def _run(way: str, case: Case, file: Path, folder: Path, *, pinned: bool = True) -> Mapping[str, list[float]]:
    own = folder / "source.jpg"
    shutil.copyfile(file, own)
    command = _command(way, case, own, folder)
    if pinned and (taskset := shutil.which("taskset")):  # sharp would use the others, too
        command = [taskset, "-c", "0", *command]
    env = {**os.environ, **ONE_CORE, **(as_in_the_pool() if way == "ours" else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    figures: Mapping[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return figures


def as_in_the_pool() -> Mapping[str, str]:
    """What the workers of the pool `images` have in their environment for speed."""
    return {"GLIBC_TUNABLES": pools.load()["images"].env["GLIBC_TUNABLES"]}


def _figures(
    runs: Sequence[Mapping[str, list[float]]], folder: Path, format_: str, wanted: Mapping[int, likeness.Plane]
) -> Figures:
    files = {width: folder / f"{width}.{format_}" for width in wanted}
    return Figures(
        cpu=min(statistics.median(run["cpu"]) for run in runs),
        wall=min(statistics.median(run["wall"]) for run in runs),
        peak_mib=max(float(run["peak_mib"]) for run in runs),  # type: ignore[arg-type]
        bytes=sum(file.stat().st_size for file in files.values()),
        ssim=statistics.fmean(likeness.ssim(files[width], wanted[width]) for width in wanted),
    )


def _print(case: Case, figures: Mapping[str, Figures]) -> None:
    ours = figures["ours"]
    print(f"\n{case.picture} → {', '.join(map(str, case.widths))} {case.format}")
    print(f"  {'way':<18}{'CPU ms':>9}{'images/s':>10}{'ratio':>8}{'peak MiB':>10}{'bytes':>12}{'SSIM':>9}")
    for way, one in figures.items():
        ratio = one.cpu / ours.cpu
        row = f"  {way:<18}{one.cpu:>9.1f}{1000 / one.wall:>10.1f}{ratio:>8.2f}{one.peak_mib:>10.0f}"
        print(f"{row}{one.bytes:>12,}{one.ssim:>9.4f}")
    sys.stdout.flush()


def _two_processes(file: Path, cache: Path) -> None:
    case = Case(picture="12 MP", format="jpeg", efforts={"ours": -1}, rounds=60)

    def rate(index: int) -> float:
        folder = _folder(cache, f"process {index}")
        return 1000 / statistics.fmean(_run("ours", case, file, folder, pinned=False)["wall"])

    alone = rate(0)
    with ThreadPoolExecutor(2) as pool:
        together = sum(pool.map(rate, range(2)))
    print(f"\n{file.stem} → jpeg, images/s: one process {alone:.1f}, two {together:.1f} ({together / alone:.2f} x)")


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.images")
