"""The perceptual hash of a picture, by which copies of it are found again. Pure, on NumPy and Pillow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # the picture is shrunk to a square of so many pixels
KEPT = 8  # and described by so many of its lowest frequencies in each direction

# Coefficients of a square of bytes reach a million. What differs by less is the rounding of a sum, which would turn
# a plain or symmetric picture, whose coefficients are zero, into a random hash.
DECIMALS = 6


def _cosines() -> NDArray[np.float64]:
    """The first rows of the DCT-II, unscaled as in FFTPACK: 2 cos(π k (2n + 1) / 2N)."""
    frequency, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None, :]
    return 2.0 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))


COSINES = _cosines()


def phash(pixels: NDArray[np.uint8]) -> str:
    """Hash a picture to 16 hexadecimal digits, of which similar pictures share most bits.

    `pixels` is RGB, [height, width, 3]. The bits are the 8 by 8 lowest frequencies of the grey picture, row by row,
    set where one is above their median; compare two hashes by the number of bits that differ (up to about 10 of 64
    is the same picture). Source: N. Krawetz, "Looks Like It" (2011), as in the library ImageHash, to whose
    `phash(image, hash_size=8)` this is equal.
    """
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    low = np.round(COSINES @ np.asarray(grey, dtype=np.float64) @ COSINES.T, DECIMALS)
    return np.packbits(low > np.median(low)).tobytes().hex()
