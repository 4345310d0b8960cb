from typing import Any

import pytest
from PIL import ImageCms

from tasks.image_params import Variant
from tasks.images import planes, turbojpeg
from tasks.images.model import Header, ImageRejected, JpegFrame, Task, Wanted
from tasks.images.planes_plan import program
from tests.contracts.engines import Bench
from tests.tasks.images import planes_bench
from tests.tasks.images.planes_bench import compare, jpeg, photo
from tests.tasks.samples import cmyk_profile, encoded, painted, rgb_profile

pytestmark = pytest.mark.skipif(turbojpeg.available() is None, reason="libjpeg-turbo is not installed")

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

bench = planes_bench.bench  # the fixture


def test_srgb_is_dropped_and_other_profiles_are_left_to_the_other(bench: Bench) -> None:
    for profile in (SRGB, SRGB + bytes(70_000)):  # in one piece, and in two
        compare(bench, jpeg(photo(), icc_profile=profile), [{"width": 200}])

    for profile, image in ((rgb_profile(), photo()), (cmyk_profile(), photo().convert("L"))):
        assert bench.one(jpeg(image, icc_profile=profile), width=200).engine.startswith("pillow ")


@pytest.mark.parametrize(
    "variant",
    [
        {"format": "png"},
        {"format": "auto"},
        {"grayscale": True},  # brightness is a sum of light, which luma is not
        {"blur": 1.0},
        {"sharpen": 1.0},
        {"trim": 10},
        {"pad": {"top": 3}},
        {"width": 90, "height": 50, "fit": "contain"},
        {"width": 50, "height": 50, "fit": "cover", "gravity": "attention"},
        {"width": 800, "enlarge": True},
        {"metadata": "copyright"},
        {"progressive": True},
        {"effort": 5},
        {"crop": {"x": 1, "y": 0, "width": 20, "height": 20}},  # half a sample of chroma, and no other change
        {"quality": 95},  # would need chroma larger than it is
        {"quality": 95, "width": 100, "max_bytes": 9_000},
    ],
    ids=str,
)
def test_what_planes_cannot_do_goes_to_the_other(bench: Bench, variant: dict[str, Any]) -> None:
    easy = {"name": "easy", "width": 100}

    made = bench.all(jpeg(photo(), subsampling="4:2:0"), easy, variant)

    assert {one.engine.split()[0] for one in made} == {"pillow"}


@pytest.mark.parametrize(
    ("progressive", "width", "taken"),
    [(False, 500, True), (True, 500, True), (False, 9_000, False), (True, 4_000, False)],
)
def test_what_takes_much_memory_goes_to_the_other(bench: Bench, progressive: bool, width: int, taken: bool) -> None:
    sampling = ((1, 1),) * 3
    frame = JpegFrame(bits=8, progressive=progressive, arithmetic=False, components=(1, 2, 3), sampling=sampling)
    huge = Header(format="jpeg", width=11_000, height=9_000, jpeg=frame)
    wanted = [Wanted(variant=Variant(name="a", width=width, quality=95))]

    found = program(Task(file=bench.folder, header=huge, wanted=wanted))

    assert (found is not None) == taken


def test_a_profile_in_pieces_that_do_not_fit_is_left_to_the_other(bench: Bench) -> None:
    data = jpeg(photo(), icc_profile=SRGB + bytes(70_000))
    for number, count in ((2, 2), (1, 3), (0, 2)):
        other = data.replace(b"ICC_PROFILE\0\x01\x02", b"ICC_PROFILE\0" + bytes((number, count)))
        assert bench.one(other, width=200).engine.startswith("pillow ")


def test_other_files_go_to_the_other(bench: Bench) -> None:
    files = [
        encoded(photo(), "PNG"),
        jpeg(photo().convert("CMYK")),
        encoded(photo(), "JPEG", keep_rgb=True),
    ]
    for data in files:
        assert bench.one(data, width=100, format="jpeg").engine.startswith("pillow ")


def test_damage_is_judged_by_the_other(bench: Bench) -> None:
    data = jpeg(photo())

    with pytest.raises(ImageRejected) as refused:
        bench.one(data[: len(data) // 2], width=100)
    assert refused.value.code == "image_truncated"
    whole = bench.one(data[: len(data) // 2], width=100, options={"allow_truncated": True})
    assert whole.engine.startswith("pillow ")


def test_without_the_library_the_other_does_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes, "found", lambda: None)

    assert bench.one(jpeg(painted()), width=30).engine.startswith("pillow ")
