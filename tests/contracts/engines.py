"""The engines that pass one suite, and a bench on which the tests put pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.image_params import Variant
from tasks.images import headers, turbojpeg
from tasks.images.model import Box, Engine, Limits, Made, Task, Wanted
from tasks.images.pillow import Pillow
from tasks.images.planes import Planes
from tasks.images.vips import Vips
from tests.tasks.samples import decoded, matrix_profile

UPLOAD = "upl_01h2xcejqtf2nbrexx3vqjhp41"

ENGINES: Mapping[str, Callable[[], Engine]] = {"vips": Vips, "planes": lambda: Planes(Vips()), "pillow": Pillow}


def reference() -> Engine:
    """The one that the others are compared with."""
    return Pillow()


def display_p3() -> bytes:
    """An ICC profile with the primaries of Display P3, adapted to D50, and a gamma near to its curve."""
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    return matrix_profile(primaries, 2.2)


@pytest.fixture(params=ENGINES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> "Bench":
    if request.param == "planes" and turbojpeg.available() is None:
        pytest.skip("libjpeg-turbo is not installed, so there is nothing but the engine that planes wraps")
    return Bench(engine=ENGINES[request.param](), folder=tmp_path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """An engine, and a folder for what it is given."""

    engine: Engine
    folder: Path
    limits: Limits = field(default_factory=Limits)

    def task(
        self,
        data: bytes,
        *variants: dict[str, Any],
        focus: tuple[Box, ...] = (),
        mark: bytes | None = None,
        page: int = 1,
        allow_truncated: bool = False,
    ) -> Task:
        """What is wanted of a file: variants as in a document, named by their number unless they have a name."""
        file, watermark = self.folder / "picture", self.folder / "mark"
        file.write_bytes(data)
        if mark is not None:
            watermark.write_bytes(mark)
        wanted = [
            Wanted(
                variant=Variant(**{"name": str(number), **variant}),
                focus=focus,
                watermark=watermark if "watermark" in variant else None,
            )
            for number, variant in enumerate(variants)
        ]
        header = headers.read(file, self.limits, page=page)
        return Task(
            file=file,
            header=header,
            wanted=wanted,
            limits=self.limits,
            page=page,
            allow_truncated=allow_truncated,
        )

    def all(self, data: bytes, *variants: dict[str, Any], **options: Any) -> list[Made]:
        """The pictures in the order of the variants."""
        made = {one.name: one for one in self.engine.render(self.task(data, *variants, **options))}
        assert len(made) == len(variants)
        return [made[variant.get("name", str(number))] for number, variant in enumerate(variants)]

    def one(self, data: bytes, *, options: Mapping[str, Any] | None = None, **variant: Any) -> Made:
        return self.all(data, variant, **(options or {}))[0]

    def shown(self, data: bytes, *, options: Mapping[str, Any] | None = None, **variant: Any) -> Image.Image:
        """The one picture, as PNG unless it says otherwise, decoded."""
        return decoded(self.one(data, options=options, **{"format": "png", **variant}).data)
