"""What every engine promises about animations: all frames, with their times, as often as before."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.contracts import engines
from tests.contracts.engines import Bench
from tests.tasks.samples import RED, decoded, encoded, near, psnr

bench = engines.bench  # the fixture, once per engine


def film(count: int = 4, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    """Frames on which a red square moves from left to right."""
    frames = []
    for number in range(count):
        frame = Image.new("RGB", size, (20, 40, 220))
        frame.paste(RED, (number * 10, 10, number * 10 + 10, 20))
        frames.append(frame)
    return frames


def moving(format_: str, delays: list[int], loop: int | None = 0) -> bytes:
    first, *others = film(len(delays))
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    if format_ == "WEBP":
        options["lossless"] = True
    return encoded(first, format_, save_all=True, append_images=others, duration=delays, **options)


def delays_of(data: bytes) -> list[int]:
    delays = []
    with Image.open(BytesIO(data)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            delays.append(round(image.info["duration"]))
    return delays


@pytest.mark.parametrize("source", ["GIF", "WEBP"])
@pytest.mark.parametrize("target", ["gif", "webp"])
def test_animations_keep_their_frames_and_times(bench: Bench, source: str, target: str) -> None:
    delays = [50, 120, 70, 400]

    whole, small, still = bench.all(
        moving(source, delays),
        {"format": target, "quality": None if target == "gif" else 90},
        {"format": target, "width": 24, "rotate": 90},
        {"format": target, "animated": False},
    )

    assert (whole.frames, small.frames, still.frames) == (4, 4, 1)
    assert delays_of(whole.data) == delays_of(small.data) == delays
    assert (small.width, small.height) == (24, 36)
    with Image.open(BytesIO(whole.data)) as image:
        for number, frame in enumerate(film()):
            image.seek(number)
            assert psnr(image.convert("RGB"), frame) > 25
    assert getattr(decoded(still.data), "n_frames", 1) == 1
    assert psnr(decoded(still.data).convert("RGB"), film()[0]) > 25


@pytest.mark.parametrize("target", ["gif", "webp"])
def test_frames_that_say_no_time_get_that_of_browsers(bench: Bench, target: str) -> None:
    assert delays_of(bench.one(moving("GIF", [0, 10, 20, 50]), format=target).data) == [100, 100, 20, 50]


@pytest.mark.parametrize("target", ["gif", "webp"])
def test_frames_that_are_alike_are_counted_as_they_are_written(bench: Bench, target: str) -> None:
    data = moving("GIF", [50, 60, 70])
    second, third = data.index(b"!\xf9", data.index(b"!\xf9") + 1), data.rindex(b"!\xf9")
    again = data[:third] + data[second:third].replace(b"\x06\0", b"\x09\0", 1) + data[third:]

    made = bench.one(again, format=target)

    assert made.frames == len(delays_of(made.data))
    assert sum(delays_of(made.data)) == 270


@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (3, 4)])
def test_animations_are_played_as_often_as_before(bench: Bench, loop: int | None, plays: int) -> None:
    gif, webp = bench.all(moving("GIF", [50, 60], loop), {"format": "gif"}, {"format": "webp"})

    assert decoded(gif.data).info.get("loop") == loop
    assert decoded(webp.data).info["loop"] == plays
    again = bench.one(webp.data, format="gif")
    assert decoded(again.data).info.get("loop") == loop


def test_an_animation_gives_its_first_frame_where_the_format_is_still(bench: Bench) -> None:
    assert bench.one(moving("PNG", [50, 60]), format="webp").frames == 1  # of those we keep none but the first
    for format_ in ("GIF", "WEBP", "PNG"):
        for one in bench.all(moving(format_, [50, 60]), *({"format": f} for f in ("jpeg", "png", "avif", "tiff"))):
            assert one.frames == 1
            assert psnr(decoded(one.data).convert("RGB"), film()[0]) > 25


def test_transparent_animations_stay_so(bench: Bench) -> None:
    frames = []
    for frame in film(3):
        frame.putalpha(frame.getchannel("R").point(lambda value: 255 if value > 100 else 0))
        frames.append(frame)
    data = encoded(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:], duration=50)

    for target in ("gif", "webp"):
        with Image.open(BytesIO(bench.one(data, format=target).data)) as image:
            for number in range(3):
                image.seek(number)
                shown = image.convert("RGBA")
                assert near(shown.getpixel((number * 10 + 5, 15)), (*RED, 255), 24)
                assert shown.getpixel((45, 5))[3] == 0  # type: ignore[index]  # RGBA pixels are tuples
                assert shown.getpixel(((number * 10 + 15) % 48, 25))[3] == 0  # type: ignore[index]
