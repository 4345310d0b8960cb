"""Signed paths of pictures: what they ask for survives being written, and what is wrong is named by its place."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.ids import new_id
from tasks.errors import InvalidDocument
from tasks.image_params import ImageResize, Variant
from tasks.image_path import MAX_OPERATIONS, MAX_TIME, OPERATIONS, Asked, parse, signature, signed, written

UPLOAD = "upl_01k3x2v9r8e6t9c8m1n4p7q2sd"

shares = st.floats(1e-6, 1) | st.sampled_from([1.0, 0.5, 0.1 + 0.2])
sides = st.integers(1, 16_383)
flags = st.booleans()
margins = st.integers(0, 4096)
crops = st.fixed_dictionaries(
    {"x": shares, "y": shares, "width": shares, "height": shares, "unit": st.just("share")}
) | st.fixed_dictionaries(
    {
        "x": st.just(0.0) | st.floats(1e-6, 1e5),
        "y": st.integers(0, 99).map(float),
        "width": st.floats(1, 1e5),
        "height": st.floats(1, 9),
    }
)
marks = st.fixed_dictionaries(
    {"upload": st.just(UPLOAD)},
    optional={
        "gravity": st.sampled_from(["center", "northwest"]),
        "scale": shares,
        "opacity": shares,
        "margin": margins,
        "tile": flags,
    },
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "trim": st.integers(0, 254),
        "crop": crops,
        "rotate": st.sampled_from([0, 90, 180, 270]),
        "flip": st.sampled_from(["horizontal", "vertical", "both"]),
        "width": sides,
        "height": sides,
        "dpr": st.floats(0.1, 8),
        "fit": st.sampled_from(["inside", "cover", "contain", "fill", "outside"]),
        "enlarge": flags,
        "gravity": st.sampled_from(["center", "north", "attention", "entropy"]),
        "grayscale": flags,
        "blur": st.floats(0.3, 100),
        "sharpen": st.floats(0.3, 10),
        "watermark": marks,
        "pad": st.fixed_dictionaries({"top": margins, "left": margins}),
        "background": st.from_regex(r"\A#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})\Z"),
        "format": st.sampled_from(["auto", "jpeg", "png", "webp", "avif", "gif", "tiff"]),
        "animated": flags,
        "quality": st.integers(1, 100),
        "lossless": flags,
        "effort": st.integers(0, 10),
        "progressive": flags,
        "max_bytes": st.integers(256, 10**12 - 1),
        "metadata": st.sampled_from(["strip", "copyright", "all"]),
        "keep_icc": flags,
    },
)


def variant(**given_fields: Any) -> Variant:
    return Variant.model_validate({"name": "picture", **given_fields}, strict=False)


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    """Anything that a path can ask for; what makes no sense is drawn again without what forbids it."""
    chosen = draw(fields)
    if chosen.get("fit", "inside") != "inside":
        chosen |= {"width": draw(sides), "height": draw(sides)}
    if chosen.get("gravity") in ("attention", "entropy"):
        chosen["fit"] = "cover"
        chosen |= {"width": draw(sides), "height": draw(sides)}
    elif chosen.get("fit") not in ("cover", "contain"):
        chosen.pop("gravity", None)
    try:
        made = variant(**chosen)
    except ValidationError:  # max_bytes or lossless with a format that knows neither
        assume(chosen.pop("max_bytes", None) or chosen.pop("lossless", None))
        chosen.pop("lossless", None)
        made = variant(**chosen)
    page = draw(st.integers(1, 10_000))
    return Asked(variant=made, page=page, expires_at=draw(st.none() | st.integers(0, MAX_TIME)))


@given(wanted=asked(), order=st.randoms(use_true_random=False))
def test_what_is_written_is_read_as_it_was_in_any_order(wanted: Asked, order: Any) -> None:
    text = written(wanted)
    assert parse(text) == wanted
    mixed = text.split(",")
    order.shuffle(mixed)
    assert parse(",".join(mixed)) == wanted
    assert written(parse(",".join(mixed))) == text
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:,._")  # nothing to escape


def test_every_field_of_a_picture_has_an_operation_and_every_name_is_one_only() -> None:
    assert [*OPERATIONS] == [field for field in OPERATIONS if field in Variant.model_fields]
    assert set(OPERATIONS) == set(Variant.model_fields) - {"name"}
    names = [*OPERATIONS, *(one.short for field, one in OPERATIONS.items() if one.short != field), "page", "exp"]
    assert len(names) == len(set(names))


SAME: dict[str, dict[str, Any]] = {
    "_": {},
    "w:300": {"width": 300},
    "width:300,height:200,fit:cover,gravity:north": {"width": 300, "height": 200, "fit": "cover", "gravity": "north"},
    "gray": {"grayscale": True},
    "grayscale:1,an:0,el:0": {"grayscale": True, "animated": False},
    "bg:FF00aa80,pad:1:2:3:4": {
        "background": "#FF00aa80",
        "pad": {"top": 1, "right": 2, "bottom": 3, "left": 4},
    },
    "c:0.1:0:0.5:1:share": {"crop": {"x": 0.1, "y": 0, "width": 0.5, "height": 1, "unit": "share"}},
    "crop:10:20:30:40.5": {"crop": {"x": 10, "y": 20, "width": 30, "height": 40.5}},
    f"wm:{UPLOAD}": {"watermark": {"upload": UPLOAD}},
    f"wm:{UPLOAD}:north:0.5:0.25:0:1": {
        "watermark": {"upload": UPLOAD, "gravity": "north", "scale": 0.5, "opacity": 0.25, "margin": 0, "tile": True}
    },
    f"watermark:{UPLOAD}:::1": {"watermark": {"upload": UPLOAD, "opacity": 1.0}},
}


@pytest.mark.parametrize("text", SAME)
def test_operations_are_the_fields_of_a_picture(text: str) -> None:
    assert parse(text) == Asked(variant=variant(**SAME[text]))


def test_a_page_and_an_end_stand_beside_the_picture() -> None:
    assert parse("exp:1790000000,page:3,q:70") == Asked(variant=variant(quality=70), page=3, expires_at=1_790_000_000)


WRONG = {
    "": ["/"],
    "w:300,": ["/"],
    "wdith:300": ["/wdith"],
    "w:300,width:300": ["/width"],
    "w:": ["/width"],
    "w:1.5": ["/width"],
    "w:-5": ["/width"],
    "w:16384": ["/width"],
    "w:99999999999999999999": ["/width"],
    "w:٣": ["/width"],
    "w: 300": ["/width"],
    "blur:nan": ["/blur"],
    "blur:1e1": ["/blur"],
    "rot:45": ["/rotate"],
    "gray:yes": ["/grayscale"],
    "bg:#ffffff": ["/background"],
    "c:1:2:3": ["/crop"],
    "c:1:2:3:4:5": ["/crop"],
    "c:0:0:2:1:share": ["/crop"],
    "c:0:0:0:1": ["/crop/width"],
    "c:0:0:0.5:1": ["/crop"],
    "pad:1": ["/pad"],
    "pad:1:2:3:-4": ["/pad/left"],
    "wm": ["/watermark/upload"],
    "wm:../secret": ["/watermark/upload"],
    f"wm:{UPLOAD}:north:0.5:0.5:0:1:1": ["/watermark"],
    f"wm:{UPLOAD}:face": ["/watermark/gravity"],
    "fit:cover": [""],
    "w:9,h:9,fit:cover,g:face": ["/gravity"],
    "w:9,h:9,fit:cover,g:objects": ["/gravity"],
    "page:0": ["/page"],
    "page:10001": ["/page"],
    "exp:soon": ["/exp"],
    "exp:999999999999": ["/exp"],
    "name:other": ["/name"],
    "f:heic,q:0,nope": ["/format", "/quality", "/nope"],
    "_,w:1": ["/_"],
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named_by_its_place(text: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse(text)
    assert sorted(flaw.pointer for flaw in caught.value.flaws) == sorted(f"/path/operations{at}" for at in WRONG[text])
    assert all(flaw.detail for flaw in caught.value.flaws)


def test_a_slip_is_told_with_the_nearest_right_word() -> None:
    with pytest.raises(InvalidDocument, match="did you mean 'width'"):
        parse("widht:300")


def test_no_more_is_read_than_a_path_may_have() -> None:
    with pytest.raises(InvalidDocument, match="longer than"):
        parse("w:1," * MAX_OPERATIONS)


@pytest.mark.parametrize("gravity", ImageResize.GRAVITIES)
def test_what_needs_an_analysis_cannot_be_written(gravity: str) -> None:
    with pytest.raises(ValueError, match=gravity):
        written(Asked(variant=variant(width=9, height=9, fit="cover", gravity=gravity)))


def test_what_signs_a_path_is_hmac_sha256_of_what_stands_behind_it() -> None:
    operations = "w:300,f:webp"
    digest = hmac.digest(b"the key", f"/w:300,f:webp/{UPLOAD}".encode(), hashlib.sha256)
    made = signature("the key", operations, UPLOAD)
    assert base64.urlsafe_b64decode(made + "=") == digest
    assert "=" not in made
    assert signed("imk_1", "the key", operations, UPLOAD) == f"/i/imk_1.{made}/w:300,f:webp/{UPLOAD}"
    assert signature("the key", operations, new_id("upl")) != made
    assert signature("another key", operations, UPLOAD) != made
