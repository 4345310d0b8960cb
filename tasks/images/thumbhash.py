"""A picture in some 25 bytes, with its transparency: a blur to paint until it is there. Pure, on NumPy."""

import numpy as np
from numpy.typing import NDArray

MOST = 100  # pixels a side; the algorithm is quadratic in them, and more change nothing that is kept

# Amplitudes are at most 1. What is less than this is the rounding of a sum, which would turn a plain picture, whose
# waves are zero, into random ones.
NOTHING = 1e-9

Values = NDArray[np.float64]
Waves = tuple[float, Values, float]  # the mean, the waves as shares 0..1 of the largest, and the largest's amplitude


def thumbhash(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a small picture, [height, width, 3 or 4] of RGB or RGBA with straight alpha, sides of 1 to MOST pixels.

    The bytes hold the lowest waves of lightness, of two differences of colour and, if a pixel is transparent, of alpha.
    Raises ValueError for a picture that is larger. Source: E. Wallace's algorithm, evanw.github.io/thumbhash, to whose
    package for JavaScript, 0.1.1, this is equal.
    """
    height, width, _ = pixels.shape
    if not (1 <= height <= MOST and 1 <= width <= MOST):
        raise ValueError(f"a ThumbHash is made of 1 to {MOST} pixels a side")
    colour, alpha = _on_its_mean(pixels)
    veiled = bool((alpha < 1).any())
    red, green, blue = np.moveaxis(colour, 2, 0)
    across, down = _counts(width, height, 5 if veiled else 7)
    light = _waves((red + green + blue) / 3, max(3, across), max(3, down))
    yellow_blue, red_green = _waves((red + green) / 2 - blue, 3, 3), _waves(red - green, 3, 3)
    wide = width > height
    head = _level(light[0], 63) | _signed(yellow_blue[0]) << 6 | _signed(red_green[0]) << 12
    head |= _level(light[2], 31) << 18 | veiled << 23
    more = (down if wide else across) | _level(yellow_blue[2], 63) << 3 | _level(red_green[2], 63) << 9 | wide << 15
    written = [head.to_bytes(3, "little"), more.to_bytes(2, "little")]
    channels = [light, yellow_blue, red_green]
    if veiled:
        channels.append(_waves(alpha, 5, 5))
        written.append(bytes([_level(channels[3][0], 15) | _level(channels[3][2], 15) << 4]))
    levels = np.floor(np.concatenate([waves for _, waves, _ in channels]) * 15 + 0.5).astype(np.uint8)
    pairs = np.append(levels, np.zeros(len(levels) % 2, np.uint8)).reshape(-1, 2)
    return b"".join(written) + (pairs[:, 0] | pairs[:, 1] << 4).tobytes()


def _on_its_mean(pixels: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Colours 0..1, [height, width, 3], laid upon the mean colour of what is to be seen, and alpha 0..1."""
    colour = pixels[:, :, :3] / 255
    if pixels.shape[2] == 3:
        return colour, np.ones(pixels.shape[:2])
    alpha = pixels[:, :, 3:] / 255
    mean = (colour * alpha).sum(axis=(0, 1)) / max(float(alpha.sum()), 1 / 255)
    return mean * (1 - alpha) + colour * alpha, alpha[:, :, 0]


def _counts(width: int, height: int, most: int) -> tuple[int, int]:
    """How many waves of lightness there are across and down: the shorter side has fewer."""
    across, down = (max(1, int(most * side / max(width, height) + 0.5)) for side in (width, height))
    return across, down


def _waves(channel: Values, across: int, down: int) -> Waves:
    """A cosine transform, of which the low half of the waves is kept: those over a diagonal, row by row."""
    height, width = channel.shape
    amplitudes = _cosines(height, down) @ channel @ _cosines(width, across).T / (width * height)
    rows, columns = np.indices(amplitudes.shape)
    low = amplitudes[columns * down < across * (down - rows)]
    mean, rest = float(low[0]), low[1:]
    most = float(np.abs(rest).max(initial=0.0))
    return mean, 0.5 + 0.5 * rest / most if most > NOTHING else np.zeros_like(rest), most


def _cosines(length: int, waves: int) -> Values:
    """[waves, length], as in the DCT-II, without a factor."""
    values: Values = np.cos(np.pi / length * np.arange(waves)[:, None] * (np.arange(length)[None, :] + 0.5))
    return values


def _level(share: float, most: int) -> int:
    return int(np.clip(np.floor(share * most + 0.5), 0, most))


def _signed(value: float) -> int:
    """A mean of -1..1 in six bits."""
    return int(np.clip(np.floor(31.5 + 31.5 * value + 0.5), 0, 63))
