"""The lane with Pillow behind it, and what its pictures are compared with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from tasks.image_params import Variant
from tasks.images.model import Made, Wanted
from tasks.images.pillow import Pillow
from tasks.images.plan import planned
from tasks.images.planes import Planes
from tests.contracts.engines import Bench
from tests.tasks.samples import PHOTOS, decoded, encoded, psnr

ROTATED = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
MIRRORED = {
    "horizontal": [Image.Transpose.FLIP_LEFT_RIGHT],
    "vertical": [Image.Transpose.FLIP_TOP_BOTTOM],
    "both": [Image.Transpose.ROTATE_180],
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The lane, with Pillow behind it: Made.engine tells which of them it was."""
    return Bench(engine=Planes(Pillow()), folder=tmp_path)


def photo(width: int = 401, height: int = 301) -> Image.Image:
    """A photograph, with edges of strong colours in it."""
    with Image.open(PHOTOS / "coffee.png") as whole:
        image = whole.convert("RGB").resize((width, height))
    image.paste((230, 20, 20), (width // 5, height // 3, width // 2, height // 2))
    image.paste((20, 30, 220), (width * 3 // 5, height // 2, width * 4 // 5, height))
    return image


def jpeg(image: Image.Image, *, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(image, "JPEG", exif=exif, **{"quality": 95, **options})


def straight(data: bytes, variant: dict[str, Any]) -> Image.Image:
    """What Pillow makes of the whole file."""
    image = ImageOps.exif_transpose(decoded(data))
    [plan] = planned([Wanted(variant=Variant(**{"name": "a", **variant}))], *image.size)
    image = image.resize(plan.size, Image.Resampling.LANCZOS, box=plan.crop)
    turns = [ROTATED[variant["rotate"]]] if variant.get("rotate") else []
    for turn in turns + MIRRORED.get(variant.get("flip", ""), []):
        image = image.transpose(turn)
    return image


def compare(bench: Bench, data: bytes, variants: Sequence[dict[str, Any]], *, within: float = 0.3) -> list[Made]:
    """Every variant is made on planes, and no worse than what Pillow makes straight from the file and encodes."""
    made = bench.all(data, *variants)
    for one, variant in zip(made, variants, strict=True):
        wanted, found = straight(data, variant), decoded(one.data)
        assert one.engine.startswith("planes "), variant
        assert (one.width, one.height) == found.size == wanted.size
        assert found.mode == wanted.mode
        coded = decoded(encoded(wanted, "JPEG", quality=variant.get("quality", 80), subsampling="4:2:0"))
        assert psnr(found, wanted) > psnr(coded, wanted) - within, variant
        assert not {"exif", "icc_profile", "comment"} & set(found.info)
    return made
