"""What becomes of one file in the engines, and what libraries say of it by themselves. Runs in a child process."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray
from PIL import Image

from tasks.image_params import Variant
from tasks.image_settings import ImageSettings
from tasks.images import engines, headers
from tasks.images.model import Header, ImageRejected, Made, Task, Wanted
from tasks.images.pictures import HOSTILE_ERRORS, PARSERS
from tests.images.trial_limits import LIMITS

BLOCK = 4
LOADERS = {
    "jpeg": "jpegload",
    "png": "pngload",
    "webp": "webpload",
    "gif": "gifload",
    "tiff": "tiffload",
    "avif": "heifload",
}
ENGINES: Sequence[Any] = ("vips", "pillow")
# Sets of what is wanted; the first is small and without loss, so that engines can be compared.
WANTED: Sequence[Sequence[Mapping[str, Any]]] = (
    [{"name": "a", "width": 64, "height": 64, "format": "png", "animated": False}],
    [{"name": "a", "width": 48, "height": 48, "format": "webp", "quality": 50, "effort": 0}],
    [
        {"name": "a", "width": 90, "format": "jpeg"},
        {"name": "b", "width": 30, "height": 30, "fit": "cover", "gravity": "attention", "format": "jpeg"},
    ],
    [
        {"name": "a", "width": 50, "rotate": 90, "trim": 10, "metadata": "all", "keep_icc": True, "format": "png"},
        {"name": "b", "width": 20, "format": "auto", "sharpen": 0.5},
    ],
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one engine made of a file: `code` of a refusal, or `made` sizes; `crash` is what should never be raised.

    `strict` says, of files of which something was made, which libraries find no fault in them at all.
    """

    engine: str
    code: str | None = None
    crash: str | None = None
    made: Sequence[tuple[str, int, int, int]] = ()
    strict: Sequence[str] | None = None


def tried(path: Path, number: int, *, strict: bool) -> dict[str, Any]:
    """Put the file through both engines; returns what can be written as JSON."""
    found: dict[str, Any] = {"outcomes": [], "header": None, "difference": None}
    try:
        header = headers.read(path, LIMITS)
    except ImageRejected as exc:
        found["outcomes"] = [asdict(Outcome(engine=name, code=exc.code)) for name in ENGINES]
        return found
    except Exception as exc:  # noqa: BLE001 - what is looked for
        found["outcomes"] = [asdict(Outcome(engine=name, crash=f"header: {exc!r}")) for name in ENGINES]
        return found
    found["header"] = [header.format, header.width, header.height, header.frames, header.pages]
    pixels = []
    for name in ENGINES:
        outcome, made = _rendered(path, header, name, number)
        if made and strict:
            outcome = {**outcome, "strict": _faultless(path, header)}
        found["outcomes"].append(outcome)
        pixels.append(made)
    if number == 0 and all(pixels):
        found["difference"] = difference(*(_array(made[0]) for made in pixels))
    return found


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """The mean difference of two pictures, 0..255, of colours times alpha and of alpha; None if sizes differ.

    Of blocks of four pixels a side, as every resampling filter has its own sharpness, but none its own colours.
    """
    if one.shape != other.shape:
        return None
    rows, columns = (np.arange(0, side, BLOCK) for side in one.shape[:2])
    blocks = np.add.reduceat(np.add.reduceat(one - other, rows, axis=0), columns, axis=1)
    return float(np.abs(blocks).sum() / one.size)


def _rendered(path: Path, header: Header, name: Any, number: int) -> tuple[dict[str, Any], list[Made]]:
    wanted = [Wanted(variant=Variant.model_validate(one)) for one in WANTED[number % len(WANTED)]]
    task = Task(file=path, header=header, wanted=wanted, limits=LIMITS)
    try:
        made = list(engines.chosen(ImageSettings(), name).render(task))
    except ImageRejected as exc:
        return asdict(Outcome(engine=name, code=exc.code)), []
    except MemoryError:  # which a step's end tells, as out_of_memory
        return asdict(Outcome(engine=name, code="out_of_memory")), []
    except Exception as exc:  # noqa: BLE001 - what is looked for
        return asdict(Outcome(engine=name, crash=repr(exc)[:500])), []
    sizes = [(str(one.format), one.width, one.height, one.frames) for one in made]
    return asdict(Outcome(engine=name, made=sizes)), made


def _array(made: Made) -> NDArray[np.float64]:
    with Image.open(io.BytesIO(made.data)) as image:
        pixels = np.asarray(image.convert("RGBA"), np.float64)
    return np.concatenate([pixels[:, :, :3] * pixels[:, :, 3:] / 255, pixels[:, :, 3:]], axis=2)


def _faultless(path: Path, header: Header) -> list[str]:
    """Those of Pillow and libvips that read the first frame to its end, and libvips without a single complaint."""
    found = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=(PARSERS.get(header.format, "PDF"),)) as image:
                image.load()
        found.append("pillow")
    except HOSTILE_ERRORS:
        pass
    if header.format == "pdf":
        found.append("pdfium")  # which says nothing of what it passes over
    if header.format in LOADERS:
        try:
            options = {"fail_on": "error", "access": "sequential"}
            pyvips.Operation.call(LOADERS[header.format], str(path), **options).avg()
            found.append("vips")
        except pyvips.Error:
            pass
    return found
