from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from tasks.image_params import Variant
from tasks.images.model import Format, Header, ImageRejected, Limits, Task, Wanted
from tasks.images.vips import Vips
from tests.contracts.engines import Bench
from tests.tasks.samples import encoded, painted, psnr

PLAIN = Variant(name="one", format="png")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(engine=Vips(), folder=tmp_path)


class TestDamage:
    @pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "TIFF", "AVIF", "WEBP"])
    def test_a_file_that_is_cut_short_is_refused_as_such(self, bench: Bench, format_: str) -> None:
        data = encoded(painted(200, 150), format_)
        with pytest.raises(ImageRejected) as refused:
            bench.one(data[: len(data) * 3 // 4])
        assert refused.value.code == "image_truncated"

    @pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF"])
    def test_what_there_is_of_it_is_made_where_that_is_allowed(self, bench: Bench, format_: str) -> None:
        image = Image.effect_noise((200, 300), 40).convert("RGB")  # packs badly: what is cut off are rows
        data = encoded(image, format_)
        shown = bench.shown(data[: len(data) * 3 // 4], options={"allow_truncated": True}).convert("RGB")
        above = (0, 0, 200, 100)
        assert shown.size == image.size
        assert psnr(shown.crop(above), image.crop(above)) > 25

    def test_a_jpeg_that_lacks_its_last_rows_is_refused_when_it_is_decoded_smaller_too(self, bench: Bench) -> None:
        data = encoded(painted(300, 225), "JPEG", quality=95, subsampling="4:4:4")  # a row more than 4 times 56
        for missing in range(3, 40, 4):
            with pytest.raises(ImageRejected) as refused:
                bench.one(data[:-missing], width=40)
            assert refused.value.code == "image_truncated"

    def test_a_png_with_damage_is_refused_unless_what_there_is_of_it_is_wanted(self, bench: Bench) -> None:
        data = bytearray(encoded(painted(200, 150), "PNG"))
        data[-13] ^= 1  # the checksum of its pixels
        with pytest.raises(ImageRejected) as refused:
            bench.one(bytes(data))
        assert refused.value.code == "image_unreadable"
        assert bench.shown(bytes(data), options={"allow_truncated": True}).size == (200, 150)

    def test_a_file_whose_faults_libvips_tells_in_strange_letters_is_refused_as_others_are(self, bench: Bench) -> None:
        data = encoded(painted(), "AVIF").replace(b"pixi", b"\xffixi")
        essential = data.replace(b"\x04\x01\x02\x83\x04", b"\x04\x81\x82\x83\x84")  # all properties of the picture
        assert essential != data
        with pytest.raises(ImageRejected) as refused:
            bench.one(essential)
        assert refused.value.code in ("image_unreadable", "image_truncated")

    def test_an_error_while_a_picture_is_written_is_no_fault_of_the_file(self, bench: Bench) -> None:
        data = encoded(painted(), "PNG")
        bench.one(data, format="webp")  # libvips is ready by then
        pyvips.voperation.operation_block_set("VipsForeignSaveWebp", True)
        try:
            with pytest.raises(pyvips.Error, match="blocked"):
                bench.one(data, format="webp")
        finally:
            pyvips.voperation.operation_block_set("VipsForeignSaveWebp", False)

    def test_damage_below_a_crop_is_noticed(self, bench: Bench) -> None:
        data = encoded(painted(200, 1500), "JPEG")
        crop = {"x": 0, "y": 0, "width": 1, "height": 0.1, "unit": "share"}
        assert bench.one(data, crop=crop).height == 150
        with pytest.raises(ImageRejected, match="ends before"):
            bench.one(data[: len(data) * 9 // 10], crop=crop)

    def test_an_animation_that_breaks_off_is_refused_before_its_first_frame_is_made(self, bench: Bench) -> None:
        frames = [painted(60, 40).rotate(angle) for angle in (0, 90, 180)]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        task = bench.task(data, {"width": 50, "format": "png"}, {"width": 20, "format": "webp"})
        task.file.write_bytes(data[:-400])  # behind the header's back
        with pytest.raises(ImageRejected):
            next(bench.engine.render(task))

    @pytest.mark.parametrize(("width", "height"), [(120, 80), (60, 40), (61, 46)])
    def test_pixels_of_another_size_than_the_header_said_are_refused(
        self, tmp_path: Path, width: int, height: int
    ) -> None:
        file = tmp_path / "picture"
        file.write_bytes(encoded(painted(61, 47), "PNG"))
        with pytest.raises(ImageRejected, match="another size"):
            list(Vips().render(task(file, Header(format="png", width=width, height=height))))

    @pytest.mark.parametrize("claimed", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
    def test_a_file_of_another_type_than_the_header_said_is_refused(self, tmp_path: Path, claimed: str) -> None:
        file = tmp_path / "picture"
        file.write_bytes(
            b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
        )
        with pytest.raises(ImageRejected):
            list(Vips().render(task(file, Header(format=claimed, width=8, height=8))))


class TestAnimations:
    @pytest.fixture
    def frames(self) -> list[Image.Image]:
        return [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue", "white")]

    @pytest.mark.parametrize("out", [Format.GIF, Format.WEBP])
    @pytest.mark.parametrize("into", ["GIF", "WEBP"])
    def test_delays_and_loop_stay(self, bench: Bench, frames: list[Image.Image], into: str, out: Format) -> None:
        delays = [50, 700, 130, 90]
        data = encoded(frames[0], into, save_all=True, append_images=frames[1:], duration=delays, loop=3)
        made = bench.one(data, width=20, format=out.value)
        image = Image.open(BytesIO(made.data))
        assert (made.frames, image.size) == (4, (20, 15))
        assert [image.info["duration"] for _ in moments(image)] == delays
        assert plays(image) == plays(Image.open(BytesIO(data)))

    def test_every_frame_is_turned_and_finished(self, bench: Bench, frames: list[Image.Image]) -> None:
        for frame in frames:
            frame.paste("black", (0, 0, 10, 30))  # a bar to the left
        data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True)
        made = bench.one(data, rotate=90, pad={"top": 4}, background="#808080", format="webp", lossless=True)
        colours = []
        for image in moments(Image.open(BytesIO(made.data))):
            frame = image.convert("RGB")
            assert frame.size == (30, 44)
            assert [frame.getpixel((15, y)) for y in (0, 8)] == [(128, 128, 128), (0, 0, 0)]
            colours.append(frame.getpixel((15, 40)))
        assert colours == [(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)]

    def test_an_animation_with_more_frames_than_its_header_said_is_bounded(self, bench: Bench) -> None:
        frames = [painted(20, 10).rotate(angle) for angle in range(0, 120, 20)]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        good = bench.task(data, {"format": "webp"})
        lying = Header(format="gif", width=20, height=10, frames=2)
        with pytest.raises(ImageRejected) as refused:
            list(Vips().render(task(good.file, lying, Variant(name="one", format="webp"), limits=Limits(max_frames=3))))
        assert refused.value.code == "image_too_large"


def task(file: Path, header: Header, variant: Variant = PLAIN, *, limits: Limits | None = None) -> Task:
    return Task(file=file, header=header, wanted=[Wanted(variant=variant)], limits=limits or Limits())


def moments(image: Image.Image) -> Iterator[Image.Image]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        yield image


def plays(image: Image.Image) -> int:
    """How often it is played: a GIF says how often it is repeated."""
    loop = image.info["loop"]
    assert isinstance(loop, int)
    return loop + 1 if image.format == "GIF" else loop
