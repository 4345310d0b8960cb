"""What a finished picture is known by: everything that its bytes depend on, and nothing else."""

from typing import Any

import pytest

from storage.image_model import is_digest
from tasks.image_params import Variant
from tasks.renditions import digest

SOURCE, MARK = "0a" * 32, "0b" * 32
UPLOADS = ("upl_01hzxw9k3jetc8f0nq2v4s6m7a", "upl_01hzxw9k3jetc8f0nq2v4s6m7b")
ENGINE = "vips/1 pyvips-binary 8.18.7"
COVER = {"fit": "cover", "width": 40, "height": 30}

# A value for every field of a variant that its default is not; what makes sense only beside others stands with them.
CHANGES: dict[str, dict[str, Any]] = {
    "trim": {"trim": 10},
    "crop": {"crop": {"x": 0, "y": 0, "width": 10, "height": 10}},
    "rotate": {"rotate": 90},
    "flip": {"flip": "both"},
    "width": {"width": 41},
    "height": {"height": 30},
    "dpr": {"dpr": 2},
    "fit": {"fit": "cover", "height": 30},
    "enlarge": {"enlarge": True},
    "gravity": {**COVER, "gravity": "north"},
    "grayscale": {"grayscale": True},
    "blur": {"blur": 1},
    "sharpen": {"sharpen": 1},
    "watermark": {"watermark": {"upload": UPLOADS[0], "scale": 0.5}},
    "pad": {"pad": {"top": 1}},
    "background": {"background": "#ffffff"},
    "format": {"format": "webp"},
    "animated": {"animated": False},
    "quality": {"quality": 50},
    "lossless": {"format": "webp", "lossless": True},
    "effort": {"effort": 3},
    "progressive": {"progressive": True},
    "max_bytes": {"max_bytes": 4096},
    "metadata": {"metadata": "all"},
    "keep_icc": {"keep_icc": True},
}


def of(variant: dict[str, Any], name: str = "small", **others: Any) -> str:
    said: dict[str, Any] = {
        "page": 1,
        "allow_truncated": False,
        "focus": (),
        "watermark_sha256": None,
        "engine_identity": ENGINE,
        **others,
    }
    source = said.pop("source", SOURCE)
    return digest(source, Variant.model_validate({"name": name, **variant}), **said)


def test_digests_stay_what_they_are() -> None:
    """If this fails, every picture that is there already is made again: only if its bytes change, too."""
    assert of({"width": 40}) == "5747f1a579c88741dfb30de34deaf44a80b368521657d88c1a09df514a203d54"
    whole = {**COVER, "gravity": "face", "watermark": {"upload": UPLOADS[0]}, "background": "#00000080"}
    box = (0.1, 0.25, 0.5, 0.75)
    assert (
        of(whole, page=2, allow_truncated=True, focus=[box], watermark_sha256=MARK)
        == "3d959526cb918d66a94052956a1bb90bb96ab0ce96e35c3f116e345d9ae1677c"
    )


def test_every_parameter_of_a_variant_makes_another_picture() -> None:
    assert CHANGES.keys() == Variant.model_fields.keys() - {"name"}
    digests = [of({"width": 40}), *(of({"width": 40, **change}) for change in CHANGES.values())]
    assert len(set(digests)) == len(digests)
    assert all(map(is_digest, digests))


def test_so_does_every_other_thing_that_it_depends_on() -> None:
    box, other = (0.1, 0.2, 0.5, 0.6), (0.3, 0.2, 0.5, 0.6)
    digests = [
        of({"width": 40}, **change)
        for change in (
            {},
            {"source": MARK},
            {"page": 2},
            {"allow_truncated": True},
            {"focus": [box]},
            {"focus": [other]},
            {"focus": [box, other]},
            {"focus": [other, box]},
            {"engine_identity": "vips/1 pyvips-binary 8.18.8"},
            {"watermark_sha256": MARK},
        )
    ]
    assert len(set(digests)) == len(digests)


def test_neither_its_name_nor_the_upload_of_its_watermark_does() -> None:
    assert of({"width": 40}, name="small") == of({"width": 40}, name="tiny")
    one, two = ({"width": 40, "watermark": {"upload": upload}} for upload in UPLOADS)
    assert of(one, watermark_sha256=MARK) == of(two, watermark_sha256=MARK)
    assert of(one, watermark_sha256=MARK) != of(one, watermark_sha256=SOURCE)


@pytest.mark.parametrize("field", ["scale", "gravity", "margin", "opacity", "tile"])
def test_how_a_watermark_lies_makes_another_picture(field: str) -> None:
    change = {"scale": 0.3, "gravity": "center", "margin": 1, "opacity": 0.5, "tile": True}[field]
    plain = {"width": 40, "watermark": {"upload": UPLOADS[0]}}
    assert of(plain) != of({"width": 40, "watermark": {"upload": UPLOADS[0], field: change}})
