"""How near a picture comes to the reference: SSIM of the luma, the reference resized by Lanczos in 16 bits."""

from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

Plane = NDArray[np.float64]
WINDOW = 8
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def reference(file: Path, width: int) -> Plane:
    """[height, width] of 0..255: the picture decoded whole, resized in 16 bits by Lanczos with three lobes."""
    image = pyvips.Image.new_from_file(str(file)).cast("ushort") * 257.0
    height = round(image.height * width / image.width)
    resized = image.cast("ushort").resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return _luma(np.asarray(resized.numpy(), np.float64) / 257)


def ssim(file: Path, wanted: Plane) -> float:
    """Mean structural similarity (Wang et al., 2004) with uniform windows of 8 x 8, the constants of the paper."""
    image = pyvips.Image.new_from_file(str(file)).colourspace("srgb")
    one, other = _luma(np.asarray(image.numpy()[:, :, :3], np.float64)), wanted
    mean_one, mean_other = _mean(one), _mean(other)
    var_one, var_other = _mean(one * one) - mean_one**2, _mean(other * other) - mean_other**2
    covariance = _mean(one * other) - mean_one * mean_other
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_one * mean_other + first) * (2 * covariance + second)
    below = (mean_one**2 + mean_other**2 + first) * (var_one + var_other + second)
    return float((above / below).mean())


def _luma(pixels: Plane) -> Plane:
    return np.asarray(pixels @ np.array(LUMA), np.float64)


def _mean(values: Plane) -> Plane:
    """Of every window, by running sums."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inner = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]
    return np.asarray(inner / WINDOW**2, np.float64)
