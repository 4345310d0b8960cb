"""`python -m tests.bench.images.way WAY FORMAT EFFORT ROUNDS SIZES FILE FOLDER`: one way, in a process.

Makes the variants as often; prints a JSON line like sharp.mjs: CPU and wall times in milliseconds, a number per round,
and the peak memory.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from PIL import Image

from tasks import resize
from tasks.image_params import EngineName, ImageResize
from tasks.image_settings import ImageSettings
from tasks.work import Source, Work
from tests.bench.processes import peak_mib

QUALITY = {"jpeg": 80, "webp": 80, "avif": 60}

Way = Callable[[Path, str, int, Sequence[int]], list[bytes]]  # (file, format, effort, widths) → encoded pictures


@dataclass(kw_only=True, slots=True)
class Bench:
    """Stands in for tasks.work.Work: the object is a file, outputs are kept in memory, nobody watches."""

    file: Path
    saved: dict[str, bytes] = field(default_factory=dict)
    used: tuple[()] = ()
    process: Any = field(
        default_factory=lambda: SimpleNamespace(settings=SimpleNamespace(images=ImageSettings(), rendition_days=0))
    )

    def fetch(self, *, max_bytes: int) -> Source:
        copy = self.file.with_suffix(".fetched")
        copy.write_bytes(self.file.read_bytes())
        return Source(path=copy, filename=self.file.name, content_type="image/jpeg")

    def renditions(self, _digests: list[str]) -> Mapping[str, Any]:
        return {}

    def save(self, name: str, data: bytes, *, content_type: str, **facts: Any) -> dict[str, Any]:
        self.saved[name] = data
        return {"name": name, "bytes": len(data), "content_type": content_type, **facts}

    def progress(self, _fraction: float, _data: Mapping[str, Any]) -> None:
        pass


def ours(engine: EngineName) -> Way:
    def make(file: Path, format_: str, effort: int, widths: Sequence[int]) -> list[bytes]:
        options = {"format": format_, "quality": QUALITY.get(format_)} | ({"effort": effort} if effort >= 0 else {})
        variants = [{"name": str(width), "width": width, **options} for width in widths]
        work = Bench(file=file)
        resize.run(cast("Work", work), ImageResize.model_validate({"variants": variants, "engine": engine}))
        return [work.saved[str(width)] for width in widths]

    return make


def pillow_as_usual(file: Path, format_: str, effort: int, widths: Sequence[int]) -> list[bytes]:
    """Open, resize by Lanczos, save: once per size, as tutorials have it."""
    made = []
    for width in widths:
        with Image.open(file) as image:
            small = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        data = BytesIO()
        options = {"quality": QUALITY[format_]} if format_ in QUALITY else {}
        if format_ == "webp":
            options["method"] = effort
        if format_ == "avif":
            options["speed"] = 9 - effort
        small.save(data, format_.upper(), **options)
        made.append(data.getvalue())
    return made


def vipsthumbnail(file: Path, format_: str, effort: int, widths: Sequence[int]) -> list[bytes]:
    """libvips' own command, once per size."""
    command = shutil.which("vipsthumbnail")
    assert command is not None
    options = {"jpeg": "Q=80,strip", "webp": f"Q=80,effort={effort},strip", "png": f"compression={effort},strip"}
    made = []
    for width in widths:
        out = file.with_suffix(f".{width}.{format_}")
        subprocess.run([command, str(file), "--size", str(width), "-o", f"{out}[{options[format_]}]"], check=True)
        made.append(out.read_bytes())
    return made


WAYS: Mapping[str, Way] = {
    "ours": ours("auto"),
    "ours, pillow": ours("pillow"),
    "Pillow as usual": pillow_as_usual,
    "vipsthumbnail": vipsthumbnail,
}


def main(way: str, format_: str, effort: str, rounds: str, sizes: str, file: str, folder: str) -> None:
    make, widths = WAYS[way], [int(width) for width in sizes.split(",")]
    cpu, wall = [], []
    made = make(Path(file), format_, int(effort), widths)
    for _ in range(int(rounds)):
        began, used = time.perf_counter(), _cpu()
        made = make(Path(file), format_, int(effort), widths)
        cpu.append(1000 * (_cpu() - used))
        wall.append(1000 * (time.perf_counter() - began))
    for width, data in zip(widths, made, strict=True):
        (Path(folder) / f"{width}.{format_}").write_bytes(data)
    own = peak_mib(os.getpid())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "peak_mib": children if way == "vipsthumbnail" else own}))


def _cpu() -> float:
    """Seconds so far, to the microsecond as sharp's are: `os.times` counts in hundredths."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
