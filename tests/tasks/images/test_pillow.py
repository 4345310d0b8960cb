import struct
import zlib
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from tasks.images.pictures import ImageRejected, Limits, inspect
from tasks.images.pillow import Variant, render
from tasks.images.plan import Fit, Format, VariantSpec
from tests.tasks.samples import (
    BLUE,
    GREEN,
    PHOTOS,
    RED,
    YELLOW,
    corners,
    decoded,
    encoded,
    near,
    one_of_each,
    painted,
    psnr,
)

LIMITS = Limits()
LANCZOS = Image.Resampling.LANCZOS
ORIENTATION = 0x0112
# What a camera does for each orientation: it stores the upright picture turned like this.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def made(data: bytes, *specs: VariantSpec, limits: Limits = LIMITS) -> dict[str, Variant]:
    return {variant.name: variant for variant in render(BytesIO(data), specs, limits)}


def only(data: bytes, **spec: object) -> Variant:
    return made(data, VariantSpec(name="only", **spec))["only"]  # type: ignore[arg-type]  # one spec's fields, as given


def turned(upright: Image.Image, orientation: int, format_: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    how = STORED_AS[orientation]
    return encoded(upright if how is None else upright.transpose(how), format_, exif=exif, **options)


def corner_colours(image: Image.Image) -> list[object]:
    right, low = image.width - 1, image.height - 1
    return [image.convert("RGB").getpixel(place) for place in ((0, 0), (right, 0), (0, low), (right, low))]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_applied_and_gone(format_: str, orientation: int) -> None:
    data = turned(corners(60, 40), orientation, format_, quality=95)

    picture = inspect(BytesIO(data), LIMITS)
    variants = made(
        data,
        VariantSpec(name="whole"),
        VariantSpec(name="smaller", width=31),
        VariantSpec(name="cover", width=12, height=16, fit=Fit.COVER),
    )

    assert (picture.width, picture.height) == (60, 40)
    sizes = {name: (variant.width, variant.height) for name, variant in variants.items()}
    assert sizes == {"whole": (60, 40), "smaller": (31, 21), "cover": (12, 16)}
    for variant in variants.values():
        image = decoded(variant.data)
        assert image.size == (variant.width, variant.height)
        assert image.getexif().get(ORIENTATION) is None
        for found, wanted in zip(corner_colours(image), (RED, GREEN, BLUE, YELLOW), strict=True):
            assert near(found, wanted, 40)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_decoded_at_a_fraction_keeps_size_and_corners(orientation: int) -> None:
    data = turned(corners(1203, 801), orientation, "JPEG", quality=95)

    variant = only(data, width=100)

    assert (variant.width, variant.height) == (100, 67)
    for found, wanted in zip(corner_colours(decoded(variant.data)), (RED, GREEN, BLUE, YELLOW), strict=True):
        assert near(found, wanted, 25)


def test_an_orientation_behind_the_pixels_of_a_png_is_applied() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    block = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    data = encoded(corners().transpose(Image.Transpose.ROTATE_90), "PNG")
    data = data[:-12] + chunk + data[-12:]  # before the end, as exiftool writes it

    variant = only(data)

    assert (variant.width, variant.height) == (60, 40)


@pytest.mark.parametrize("format_", list(Format))
def test_no_metadata_survives(format_: Format) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETMAKER"
    exif.get_ifd(0x8825)[29] = "2011:11:11SECRETGPS"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SECRETTEXT")
    text.add_itxt("XML:com.adobe.xmp", "<SECRETXMP/>")
    sources = [
        encoded(painted(), "JPEG", exif=exif, comment=b"SECRETCOMMENT", xmp=b"<SECRETXMP/>"),
        encoded(painted(), "PNG", exif=exif, pnginfo=text),
        encoded(painted(), "WEBP", exif=exif, xmp=b"<SECRETXMP/>"),
        encoded(painted(), "TIFF", exif=exif, description="SECRETDESCRIPTION"),
        encoded(painted(), "GIF", comment=b"SECRETCOMMENT"),
        encoded(painted(), "AVIF", exif=exif, xmp=b"<SECRETXMP/>"),
    ]
    for source in sources:
        assert b"SECRET" in source
        for variant in made(source, VariantSpec(name="a", format=format_), VariantSpec(name="b", width=9)).values():
            assert b"SECRET" not in variant.data
            assert not any(mark in variant.data for mark in (b"Exif", b"EXIF", b"eXIf", b"ICC", b"iCCP", b"xmp"))


@pytest.mark.parametrize("name", [name for name in one_of_each() if "animated" in name])
def test_an_animation_gives_its_first_frame(name: str) -> None:
    data = one_of_each()[name]

    assert inspect(BytesIO(data), LIMITS).frames == 2
    assert psnr(decoded(only(data, format=Format.PNG).data).convert("RGB"), painted()) > 30


@pytest.mark.parametrize("photo", sorted(path.name for path in PHOTOS.iterdir() if path.suffix in (".png", ".jpg")))
def test_variants_look_like_ones_made_straight_from_the_photograph(photo: str) -> None:
    whole = Image.open(PHOTOS / photo).convert("RGB")
    data = encoded(whole, "JPEG", quality=95)
    straight = decoded(data)
    widths = (400, 250, 199, 120, 60, 24)  # from the whole, from one another, and below 112 alone from half the pixels

    for specs in ([VariantSpec(name=str(w), width=w, format=Format.PNG) for w in widths], []):
        for width in widths:
            variant = made(data, *specs)[str(width)] if specs else only(data, width=width, format=Format.PNG)
            wanted = straight.resize((variant.width, variant.height), LANCZOS)
            assert psnr(decoded(variant.data), wanted) >= 35, (width, specs)


def test_the_largest_comes_first_and_each_only_when_it_is_taken() -> None:
    file = BytesIO(encoded(painted(400, 300), "PNG"))
    widths = (50, 400, 120, 200)
    variants = render(file, [VariantSpec(name=str(w), width=w) for w in widths], LIMITS)
    file.close()  # everything has been read

    assert next(variants).name == "400"
    assert [variant.name for variant in variants] == ["200", "120", "50"]


def test_a_file_object_stays_open_and_may_stand_anywhere() -> None:
    for name, data in one_of_each().items():
        file = BytesIO(data)
        file.seek(0, 2)
        assert len(list(render(file, [VariantSpec(name="a")], LIMITS))) == 1, name
        assert not file.closed


def test_a_path_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    for name, data in one_of_each().items():
        lie = tmp_path / ("lie.gif" if name.startswith("jpeg") else "lie.jpg")
        lie.write_bytes(data)
        assert inspect(lie, LIMITS).format == name.split()[0]
        assert [(v.width, v.height) for v in render(lie, [VariantSpec(name="a")], LIMITS)] == [(61, 47)]


def test_the_same_file_gives_the_same_bytes() -> None:
    specs = [VariantSpec(name=f, width=40, format=f) for f in Format]
    for data in one_of_each().values():
        assert made(data, *specs) == made(data, *specs)


def test_without_a_format_ours_are_kept_and_others_chosen_by_transparency() -> None:
    kept = {f: only(encoded(painted(), f)).format for f in ("JPEG", "PNG", "WEBP")}
    opaque = {f: only(encoded(painted(), f)).format for f in ("GIF", "TIFF", "BMP", "AVIF")}
    transparent = {f: only(encoded(Image.new("RGBA", (8, 8)), f)).format for f in ("GIF", "TIFF", "AVIF")}
    hiding_nothing = painted().convert("RGBA")

    assert list(kept.values()) == [Format.JPEG, Format.PNG, Format.WEBP]
    assert set(opaque.values()) == {Format.JPEG}
    assert set(transparent.values()) == {Format.PNG}
    assert only(encoded(hiding_nothing, "TIFF")).format is Format.JPEG


def test_a_variant_names_its_format() -> None:
    found = [(v.content_type, v.extension) for f in Format for v in [only(one_of_each()["png"], format=f)]]

    assert found == [("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp")]
    for f in Format:
        assert decoded(only(one_of_each()["png"], format=f).data).format == f.upper()


def test_quality_changes_the_size() -> None:
    for format_ in (Format.JPEG, Format.WEBP):
        sizes = [len(only(one_of_each()["png"], format=format_, quality=q).data) for q in (20, 60, 95)]
        assert all(less < more for less, more in pairwise(sizes))


def test_transparent_pictures_stand_on_the_background_in_jpeg() -> None:
    data = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG")

    assert near(decoded(only(data, format=Format.JPEG).data).getpixel((4, 4)), (255, 255, 255), 2)
    assert near(
        decoded(only(data, format=Format.JPEG, background="#204060").data).getpixel((4, 4)), (0x20, 0x40, 0x60), 3
    )


def test_colours_that_transparency_hides_do_not_bleed() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 32, 64))

    small = decoded(only(encoded(image, "PNG"), width=7).data)

    assert small.mode == "RGBA"
    edge = small.getpixel((3, 3))
    assert near(edge, (0, 0, 255, edge[3]), 2)  # type: ignore[index]  # RGBA pixels are tuples
    assert 0 < edge[3] < 255  # type: ignore[index]


def test_a_cover_shows_the_centre() -> None:
    image = Image.new("RGB", (300, 100), RED)
    image.paste(GREEN, (100, 0, 200, 100))

    for width, height in ((100, 100), (40, 40), (20, 20)):
        variant = only(encoded(image, "PNG"), width=width, height=height, fit=Fit.COVER)
        assert all(near(colour, GREEN, 30) for colour in corner_colours(decoded(variant.data)))


def test_a_side_that_the_format_cannot_hold_is_refused_by_name() -> None:
    data = encoded(Image.new("L", (1, 17_000)), "PNG")

    with pytest.raises(ImageRejected, match="'only' would have 1 by 17,000 pixels, and WEBP holds") as caught:
        only(data, format=Format.WEBP)
    assert caught.value.code == "image_too_large"
    assert only(data, format=Format.JPEG).height == 17_000


def test_enlarging_without_end_is_refused() -> None:
    data = encoded(Image.new("L", (1, 5_000)), "PNG")

    with pytest.raises(ImageRejected, match="at most 1,000,000 in all"):
        made(data, VariantSpec(name="a", width=300, enlarge=True), limits=Limits(max_pixels=1_000_000))
