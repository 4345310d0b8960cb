"""What inks look like where a file with inks does not say: as off an ordinary press, on coated paper. Pure.

Format: ICC.1:2001-04, with one table (6.5.8, lut8Type). Colours between solid inks follow Neugebauer's equations, with
the dot gain of Yule and Nielsen (The penetration of light into paper, 1951).
"""

import struct
from collections.abc import Mapping
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Colour = tuple[float, float, float]

# L*a*b* of solid inks and of those over one another, white of the paper as 100: near to ISO 12647-2. Black covers all.
SOLID: Mapping[tuple[int, ...], Colour] = {
    (0, 0, 0, 0): (100, 0, 0),
    (1, 0, 0, 0): (57, -37, -53),
    (0, 1, 0, 0): (52, 78, -3),
    (0, 0, 1, 0): (95, -4, 101),
    (1, 1, 0, 0): (20, 27, -49),
    (1, 0, 1, 0): (49, -70, 29),
    (0, 1, 1, 0): (51, 72, 49),
    (1, 1, 1, 0): (17, 7, -9),
    (0, 0, 0, 1): (15, 0, 0),
}
BLACK: Colour = (11, 3, -6)  # over any other ink
GAIN, SPREAD = 0.04, 2.0  # of a half-tone of one half; how far light goes below the paper
NODES = 5  # of the table, along each ink
D50 = (0.9642, 1.0, 0.8249)


@cache
def profile() -> bytes:
    """The ICC profile of such a press, to be read from only."""
    lab = _lab(_mixed())
    table = np.clip(np.rint(lab * (2.55, 1, 1) + (0, 128, 128)), 0, 255).astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65_536 if place % 4 == 0 else 0 for place in range(9)))
    lut = b"mft1" + struct.pack(">4x4B", 4, 3, NODES, 0) + identity + ramp * 4 + table + ramp * 3
    white = b"XYZ " + struct.pack(">4x3i", *(round(number * 65_536) for number in D50))
    start = 128 + 4 + 2 * 12
    lut += bytes(-len(lut) % 4)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", start, len(white), b"A2B0", start + len(white), len(lut))
    size = start + len(white) + len(lut)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp") + white[8:]
    return header.ljust(128, b"\0") + tags + white + lut


def _mixed() -> Numbers:
    """[n, 3]: the light, XYZ with paper as 1, of all mixtures in the table, the last ink changing the quickest."""
    share = np.linspace(0, 1, NODES)
    covered = share + 4 * GAIN * share * (1 - share)
    mixtures = np.stack(np.meshgrid(*[covered] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    light = np.zeros((len(mixtures), 3))
    for inks in product((0, 1), repeat=4):
        part = np.where(inks, mixtures, 1 - mixtures).prod(axis=1)
        light += part[:, None] * _xyz(SOLID.get(inks, BLACK)) ** (1 / SPREAD)
    return light**SPREAD


def _xyz(lab: Colour) -> Numbers:
    """From CIE L*a*b*, with white as 1 (CIE 15:2004, 8.2.1)."""
    y = (lab[0] + 16) / 116
    roots = np.array((y + lab[1] / 500, y, y - lab[2] / 200))
    return np.where(roots > 6 / 29, roots**3, np.maximum(0, (roots - 4 / 29) * 3 * (6 / 29) ** 2))


def _lab(xyz: Numbers) -> Numbers:
    roots = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = roots.T
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=1)
