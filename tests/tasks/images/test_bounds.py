from typing import Any

import pytest

from tasks.image_params import Variant
from tasks.images.bounds import bounded, readable
from tasks.images.model import Format, Header, ImageRejected, JpegFrame, Limits, Wanted
from tasks.images.plan import Plan, planned

ROOMY = Limits(max_output_pixels=10**9)


def plan_of(across: int, down: int, /, **variant: Any) -> Plan:
    [plan] = planned([Wanted(variant=Variant(name="a", **variant))], across, down)
    return plan


def jpeg(side: int, components: int, *, progressive: bool) -> Header:
    sampling = ((1, 1),) * components
    frame = JpegFrame(
        bits=8, progressive=progressive, arithmetic=False, components=tuple(range(components)), sampling=sampling
    )
    return Header(format="jpeg", width=side, height=side, jpeg=frame)


def refused(header: Header, *plans: Plan, marks: tuple[tuple[int, int], ...] = ()) -> bool:
    try:
        readable(header, plans, marks)
    except ImageRejected as exc:
        return exc.code == "image_too_large"
    return False


def test_what_a_format_or_the_limits_do_not_hold_is_refused() -> None:
    plan = plan_of(100, 20_000)

    with pytest.raises(ImageRejected, match="WEBP holds at most 16,383"):
        bounded(plan, Format.WEBP, Limits())
    bounded(plan, Format.PNG, Limits())
    with pytest.raises(ImageRejected, match="60 frames together"):
        bounded(plan, Format.GIF, Limits(), frames=60)


@pytest.mark.parametrize(
    ("format_", "opaque", "transparent"),  # millions of pixels that may be written
    [
        (Format.JPEG, 120, 80),
        (Format.PNG, 120, 100),
        (Format.WEBP, 104, 33),
        (Format.AVIF, 30, 18),
        (Format.GIF, 52, 52),
    ],
)
def test_what_takes_too_much_memory_to_be_written_is_refused(format_: Format, opaque: int, transparent: int) -> None:
    for most, is_transparent in ((opaque, False), (transparent, True)):
        bounded(plan_of(16_000, most * 125 // 2), format_, ROOMY, transparent=is_transparent)
        with pytest.raises(ImageRejected, match="more memory than there is"):
            bounded(plan_of(16_000, most * 100), format_, ROOMY, transparent=is_transparent)


def test_frames_count_together() -> None:
    bounded(plan_of(1000, 1000), Format.GIF, ROOMY, frames=100)
    with pytest.raises(ImageRejected, match="more memory than there is"):
        bounded(plan_of(1000, 1000), Format.GIF, ROOMY, frames=150)


def test_the_largest_pictures_are_read_where_that_takes_little() -> None:
    small = plan_of(10_000, 10_000, width=500)

    assert not refused(Header(format="png", width=10_000, height=10_000), plan_of(10_000, 10_000))
    assert not refused(jpeg(10_000, 3, progressive=False), plan_of(10_000, 10_000))
    assert not refused(jpeg(10_000, 3, progressive=True), small)
    assert not refused(jpeg(10_000, 4, progressive=True), small)
    assert not refused(Header(format="heic", width=8_064, height=6_048), plan_of(8_064, 6_048))  # of a telephone


def test_what_takes_too_much_memory_to_be_read_is_refused() -> None:
    small = plan_of(10_000, 10_000, width=500)

    assert refused(Header(format="avif", width=10_000, height=10_000), small)
    assert refused(Header(format="heic", width=10_000, height=10_000), small)
    assert refused(jpeg(10_000, 4, progressive=True), plan_of(10_000, 10_000))
    assert refused(jpeg(10_000, 4, progressive=True), small, marks=((8_000, 8_000),))
