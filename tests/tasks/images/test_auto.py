import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.images.auto import chosen
from tasks.images.model import Format
from tests.tasks.samples import PHOTOS, corners, painted, veiled

LOSSY, LOSSLESS = (Format.WEBP, False), (Format.WEBP, True)


def photograph(name: str) -> Image.Image:
    with Image.open(PHOTOS / name) as image:
        image.thumbnail((256, 256))
        return image.convert("RGB")


def before_a_wall(subject: Image.Image) -> Image.Image:
    image = Image.new("RGB", (256, 256), (255, 255, 255))
    image.paste(subject.resize((140, 140)), (60, 60))
    return image


def screen() -> Image.Image:
    """A page of text, larger than the small version of it that is looked at."""
    image = Image.new("RGB", (1024, 768), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1024, 90), fill=(40, 60, 120))
    for line in range(12):
        draw.text((60, 140 + 50 * line), "what is written here is of no matter at all" * (line % 3), fill=(20, 20, 20))
    return image.resize((256, 192), Image.Resampling.LANCZOS)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_are_coded_with_loss(name: str) -> None:
    photo = photograph(name)

    assert chosen(pixels(photo), animated=False) == LOSSY
    assert chosen(pixels(photo.convert("L").convert("RGB")), animated=False) == LOSSY
    assert chosen(pixels(before_a_wall(photo)), animated=False) == LOSSY


def test_drawings_and_screens_are_coded_without() -> None:
    assert chosen(pixels(corners(200, 200)), animated=False) == LOSSLESS
    assert chosen(pixels(screen()), animated=False) == LOSSLESS
    assert chosen(pixels(Image.new("RGB", (1, 1))), animated=False) == LOSSLESS


def test_transparency_is_coded_without_loss_if_there_is_any() -> None:
    assert chosen(pixels(veiled()), animated=False) == LOSSLESS
    assert chosen(pixels(photograph("coffee.png").convert("RGBA")), animated=False) == LOSSY


def test_animations_are_coded_with_loss() -> None:
    assert chosen(pixels(corners(50, 50)), animated=True) == LOSSY


def test_what_webp_cannot_hold_becomes_png_or_jpeg() -> None:
    assert chosen(pixels(painted()), animated=False, size=(20_000, 9)) == (Format.JPEG, False)
    assert chosen(pixels(corners(90, 90)), animated=False, size=(20_000, 9)) == (Format.PNG, True)
    assert chosen(pixels(veiled()), animated=True, size=(20_000, 9)) == (Format.PNG, True)
    assert chosen(pixels(painted()), animated=False, size=(16_383, 9)) == LOSSY
    assert chosen(pixels(painted()), animated=False, size=(65_501, 9)) == (Format.PNG, True)
    assert chosen(pixels(veiled()), animated=False, size=(9_000, 9_000)) == (Format.PNG, True)  # for lack of memory
