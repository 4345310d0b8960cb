"""The dominant colours of a picture, as the eye groups them. Pure, on NumPy."""

import numpy as np
from numpy.typing import NDArray

SAMPLES = 16_384  # pixels that are looked at: a share is then off by less than 1 %
GOLDEN = (np.sqrt(5) - 1) / 2

# Light and shadow on a thing leave its colour the same: lightness counts half in a distance, or the greys of a
# picture crowd out its red motorcycle.
LIGHTNESS = 0.5

# Distances in OKLab so weighted: black to white is 0.5, grey to the purest colours 0.1 to 0.3.
CELL = 0.03  # samples nearer than this are first taken together
ALIKE = 0.07  # colours nearer than this are one colour to somebody who describes a picture

SEEDS = 16  # groups to begin with; alike ones are merged afterwards
ROUNDS = 8
LEAST_SHARE = 0.005  # a smaller group dominates nothing

# B. Ottosson, "A perceptual color space for image processing" (2020, matrices as corrected in 2021): linear sRGB to
# the cones' responses, and their cube roots to lightness, green to red, blue to yellow.
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
) * np.array([[LIGHTNESS], [1], [1]])
FROM_CONES, FROM_LAB = np.linalg.inv(TO_CONES), np.linalg.inv(TO_LAB)


def colors(pixels: NDArray[np.uint8], most: int = 6) -> list[dict[str, str | float]]:
    """Name the colours that dominate a picture: `[{"name": "#rrggbb", "score": share 0..1}]`, the largest share first.

    `pixels` is RGB, [height, width, 3]. A colour is the mean of a group of pixels that look alike, its share the
    part of the picture that they cover; groups under half a per cent are left out. The same pixels give the same
    answer. Grouping is k-means in OKLab, begun at the heaviest and then at the farthest groups instead of at random.
    """
    points, weights = _cells(_oklab(_sampled(pixels)))
    centres, shares = _merged(*_grouped(points, weights))
    order = np.argsort(-shares, kind="stable")
    order = order[shares[order] >= min(LEAST_SHARE, shares.max())][:most]
    found = zip(_hexadecimal(centres[order]), shares[order], strict=True)
    return [{"name": name, "score": round(float(share), 4)} for name, share in found]


def _sampled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[samples, 3]: all pixels of a small picture, of others an even sample that no pattern of the picture repeats."""
    height, width, _ = pixels.shape
    if height * width <= SAMPLES:
        return pixels.reshape(-1, 3)
    number = np.arange(SAMPLES)  # a Fibonacci lattice: one sample a row of it, each turned on by the golden ratio
    rows = ((number + 0.5) / SAMPLES * height).astype(np.intp)
    columns = (number * GOLDEN % 1 * width).astype(np.intp)
    samples: NDArray[np.uint8] = pixels[rows, columns]
    return samples


def _oklab(samples: NDArray[np.uint8]) -> NDArray[np.float64]:
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)[samples]
    lab: NDArray[np.float64] = np.cbrt(linear @ TO_CONES.T) @ TO_LAB.T
    return lab


def _hexadecimal(lab: NDArray[np.float64]) -> list[str]:
    linear = np.clip((lab @ FROM_LAB.T) ** 3 @ FROM_CONES.T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return ["#" + bytes(row).hex() for row in np.round(value * 255).astype(np.uint8)]


def _cells(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean colour of each occupied cell of a grid, [cells, 3], and its share of the samples."""
    grid = np.round(lab / CELL).astype(np.int64) + 64
    _, cell, count = np.unique(grid @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(cell, lab[:, axis], len(count)) for axis in range(3)], axis=1)
    return sums / count[:, None], count / len(lab)


def _grouped(points: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Weighted k-means: the groups' centres and shares."""
    chosen = [int(np.argmax(weights))]
    nearest = _squares(points, points[chosen])[:, 0]
    while len(chosen) < SEEDS and (pull := weights * nearest).max() > 0:
        chosen.append(int(np.argmax(pull)))
        nearest = np.minimum(nearest, _squares(points, points[chosen[-1:]])[:, 0])
    centres = points[chosen]
    shares = weights[chosen]
    for _ in range(ROUNDS):
        group = np.argmin(_squares(points, centres), axis=1)
        shares = np.bincount(group, weights, len(centres)).astype(np.float64)
        sums = np.stack([np.bincount(group, weights * points[:, axis], len(centres)) for axis in range(3)], axis=1)
        kept = shares > 0
        centres, shares = sums[kept] / shares[kept, None], shares[kept]
    return centres, shares


def _merged(centres: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Make one of the two nearest groups until no two are alike."""
    while len(centres) > 1:
        apart = _squares(centres, centres) + np.diag(np.full(len(centres), np.inf))
        one, other = divmod(int(np.argmin(apart)), len(centres))
        if apart[one, other] >= ALIKE**2:
            break
        both = shares[one] + shares[other]
        centres[one] = (centres[one] * shares[one] + centres[other] * shares[other]) / both
        shares[one] = both
        centres, shares = np.delete(centres, other, axis=0), np.delete(shares, other)
    return centres, shares


def _squares(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squared distance of each point from each of the others, [points, others]."""
    difference = points[:, None, :] - others[None, :, :]
    squares: NDArray[np.float64] = np.einsum("ijk,ijk->ij", difference, difference)
    return squares
