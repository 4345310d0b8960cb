"""Where most is to be seen in a picture: crops by attention and by entropy. Pure, on NumPy, alike in every engine.

A part slides along one axis after the other, pixel by pixel. Scores are whole numbers, or rounded, and of equal ones
the most central wins: so the same pixels give the same part on every machine.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.images.model import Box

Pixels = NDArray[np.uint8]
Whole = NDArray[np.int64]
Finder = Callable[[Pixels, Box, tuple[float, float]], tuple[float, float]]

# Weights of what draws the eye: edges, strong colours, colours unlike the rest, and those of skin.
EDGES, COLOURS, ODD, SKIN = 4, 1, 3, 4
BINS = 64  # of brightness, in the histogram whose entropy is taken


def attention(pixels: Pixels, crop: Box, part: tuple[float, float]) -> tuple[float, float]:
    """Left and top of the part of a crop that draws the eye most.

    `pixels` are [h, w, 3] of RGB, best at most 256 a side; `crop`, the sides of `part` and the answer are shares of
    their sides.
    """
    energy = _energy(pixels.astype(np.int64))
    across = _span(crop[0], crop[2], part[0], pixels.shape[1])
    down = _span(crop[1], crop[3], part[1], pixels.shape[0])
    left = _heaviest(energy[down[0] : down[1], across[0] : across[1]].sum(axis=0), across[2])
    columns = slice(across[0] + left, across[0] + left + across[2])
    top = _heaviest(energy[down[0] : down[1], columns].sum(axis=1), down[2])
    return (across[0] + left) / pixels.shape[1], (down[0] + top) / pixels.shape[0]


def entropy(pixels: Pixels, crop: Box, part: tuple[float, float]) -> tuple[float, float]:
    """Left and top of the part of a crop whose brightness varies most, by the entropy of its histogram; as above."""
    bins = (_brightness(pixels.astype(np.int64)) * BINS) >> 8
    across = _span(crop[0], crop[2], part[0], pixels.shape[1])
    down = _span(crop[1], crop[3], part[1], pixels.shape[0])
    left = _liveliest(bins[down[0] : down[1], across[0] : across[1]].T, across[2])
    columns = slice(across[0] + left, across[0] + left + across[2])
    top = _liveliest(bins[down[0] : down[1], columns], down[2])
    return (across[0] + left) / pixels.shape[1], (down[0] + top) / pixels.shape[0]


def _span(start: float, end: float, part: float, length: int) -> tuple[int, int, int]:
    """First and last place (exclusive) of the crop on an axis of this many pixels, and how many the part has."""
    first = min(round(start * length), length - 1)
    last = min(max(round(end * length), first + 1), length)
    return first, last, min(max(1, round(part * length)), last - first)


def _brightness(pixels: Whole) -> Whole:
    """Luma of 0..255 (ITU-R BT.601, 4.2.1), in whole numbers."""
    return (pixels[:, :, 0] * 77 + pixels[:, :, 1] * 150 + pixels[:, :, 2] * 29) >> 8


def _energy(pixels: Whole) -> Whole:
    """[h, w]: how much each pixel draws the eye."""
    luma = _brightness(pixels)
    padded = np.pad(luma, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    energy = EDGES * np.abs(4 * luma - around)
    vivid = pixels.max(axis=2) - pixels.min(axis=2)
    energy += COLOURS * np.where((luma > 20) & (luma < 235), vivid, 0)
    usual = pixels.sum(axis=(0, 1)) // luma.size
    energy += ODD * np.abs(pixels - usual).max(axis=2)  # as in frequency-tuned saliency (Achanta and others 2009)
    return energy + SKIN * _skin(pixels, luma)


def _skin(pixels: Whole, luma: Whole) -> Whole:
    """[h, w]: 64 where a pixel has the hues of skin, by its chroma (Chai and Ngan 1999, table I), else 0."""
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    cb = 128 + ((-43 * red - 85 * green + 128 * blue) >> 8)
    cr = 128 + ((128 * red - 107 * green - 21 * blue) >> 8)
    found = (cb >= 77) & (cb <= 127) & (cr >= 138) & (cr <= 173) & (luma > 50) & (luma < 240)
    return np.where(found, 64, 0)


def _heaviest(profile: Whole, part: int) -> int:
    """Where a window of this many places holds the most; what lies in its middle counts more than its edges."""
    distance = np.abs(2 * np.arange(part, dtype=np.int64) - (part - 1))
    weights = 2 * part * part - distance * distance  # a flat parabola: twice as heavy in the middle
    return _central(np.convolve(profile, weights, mode="valid"))


def _liveliest(rows: Whole, part: int) -> int:
    """Where a window of this many of the rows has the histogram of the greatest entropy."""
    counts = np.stack([np.bincount(row, minlength=BINS) for row in rows])
    sums = np.concatenate([np.zeros((1, BINS), np.int64), counts.cumsum(axis=0)])
    windows = (sums[part:] - sums[:-part]).astype(np.float64)
    shares = windows / windows.sum(axis=1, keepdims=True)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return _central(np.round(bits, 6))


def _central(scores: Whole | NDArray[np.float64]) -> int:
    """The best place, of equal ones that which is nearest to the middle."""
    best = np.flatnonzero(scores == scores.max())
    return int(best[np.argmin(np.abs(2 * best - (len(scores) - 1)))])
