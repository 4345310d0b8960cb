"""A picture as a line of text that an app paints as a blur until the picture is there. Pure, on NumPy and Pillow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
MOST_COMPONENTS = 9
SIDE = 1024  # of pictures with at least twice as many pixels a side, blocks are averaged first
STRIP = 64  # rows that are turned into light at a time: they stay in the processor's cache


def _linear() -> NDArray[np.float32]:
    """The light that each value of an sRGB channel stands for, 0..1 (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


LINEAR = _linear()


def blurhash(pixels: NDArray[np.uint8], across: int = 4, down: int = 3) -> str:
    """Encode a picture's coarsest `across` by `down` waves (1..9 each) as 4 + 2 * across * down characters.

    `pixels` is RGB, [height, width, 3]. Of a picture of 2,048 pixels a side or more, blocks are averaged first, and the
    waves over the same blocks, so that only what varies within a block is lost. Raises ValueError if there are to be
    more or fewer waves than the format knows. Source: Wolt's algorithm, github.com/woltapp/blurhash, Algorithm.md.
    """
    if not (1 <= across <= MOST_COMPONENTS and 1 <= down <= MOST_COMPONENTS):
        raise ValueError("a BlurHash has 1 to 9 components in each direction")
    waves = _waves(pixels, across, down)
    constant, rest = waves[0], waves[1:]
    most = float(np.abs(rest).max(initial=0.0))
    scale = max(0, min(82, int(most * 166 - 0.5))) if len(rest) else 0
    text = _digits((across - 1) + (down - 1) * 9, 1) + _digits(scale, 1) + _digits(_colour(constant), 4)
    roots = np.sign(rest) * np.sqrt(np.abs(rest) / ((scale + 1) / 166))
    levels = np.clip(np.floor(roots * 9 + 9.5), 0, 18).astype(int)
    return text + "".join(_digits(int(red * 361 + green * 19 + blue), 2) for red, green, blue in levels)


def _waves(pixels: NDArray[np.uint8], across: int, down: int) -> NDArray[np.float64]:
    """The amplitude of each wave in linear light, [waves, 3], row by row; the first is the mean colour."""
    height, width, _ = pixels.shape
    block = max(1, max(height, width) // SIDE)
    small = np.asarray(Image.fromarray(pixels).reduce(block)) if block > 1 else pixels
    rows, columns = _cosines(height, down, block), _cosines(width, across, block)
    lines = np.zeros((down, small.shape[1] * 3))
    for top in range(0, len(small), STRIP):
        strip = small[top : top + STRIP]
        light = LINEAR.take(strip.reshape(len(strip), -1), mode="clip")  # never clips, but is quicker than to check
        lines += rows[:, top : top + STRIP] @ light
    waves: NDArray[np.float64] = np.matmul(columns, lines.reshape(down, -1, 3)).reshape(-1, 3)
    waves[1:] *= 2
    waves /= height * width
    return waves


def _cosines(length: int, waves: int, block: int) -> NDArray[np.float32]:
    """Each wave, [waves, blocks], summed over the pixels of every block; the last block may be a smaller one."""
    values = np.cos(np.pi * np.arange(waves)[:, None] * np.arange(length)[None, :] / length)
    return np.add.reduceat(values, np.arange(0, length, block), axis=1).astype(np.float32)


def _colour(light: NDArray[np.float64]) -> int:
    """A colour in linear light as 0xRRGGBB in sRGB."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    red, green, blue = (int(channel) for channel in value * 255 + 0.5)
    return (red << 16) + (green << 8) + blue


def _digits(value: int, count: int) -> str:
    text = ""
    for _ in range(count):
        value, digit = divmod(value, len(DIGITS))
        text = DIGITS[digit] + text
    return text
