"""How well a picture is taken: sharp or blurred, too dark or too bright. Pure, on NumPy and Pillow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 512  # sharpness is judged at this many pixels on the longer side, so that it is not a matter of resolution
TILES = 8  # in each direction; a portrait before a soft background is sharp, so the sharpest tenth of them decides

# Chosen on 18 photographs of at least 400 pixels, their copies exposed from -3 to +3 stops, and copies blurred with a
# sigma of 1.5/512 of the longer side: detail was 0.26 and more in all that are sharp, 0.12 and less in the blurred.
BLURRED = 0.2  # of sharpness
HALF_SHARP = 0.72  # the detail whose sharpness is one half; BLURRED is then a detail of 0.18
FAINTEST = (4 / 255) ** 2  # the least contrast, squared, that detail is measured against: below it is noise
ROUNDING = 20 / 12 / 255**2 * 1.45  # the Laplacian's variance by the rounding of three channels and luma to bytes

# The same photographs: the 99th percentile of luma was 0.71 and more, two stops darker 0.54 and less, at a mean of 0.32
# and less. Nothing clipped more than 0.19 in the highlights, with a mean of 0.62 and less.
DARK_LIGHTS, DARK_MEAN = 0.6, 0.35
BRIGHT_CLIPPED, BRIGHT_MEAN = 0.25, 0.7
CLIPPED = 2  # of 255: so near to black or white counts as clipped, as JPEG scatters both a little


def quality(pixels: NDArray[np.uint8]) -> dict[str, float | bool]:
    """Measure a picture's sharpness and exposure.

    `pixels` is RGB, [height, width, 3]. All is measured on luma (ITU-R BT.601), where black is 0 and white 1:
    - `sharpness` 0..1: d / (d + 0.72), where d is the variance of the Laplacian over that of the luma, of the sharpest
      tenth of 8 by 8 tiles, at 512 pixels; 0 if nothing is to be seen. Exposure hardly changes it.
    - `exposure` 0..1: the mean. `contrast` 0..0.5: the standard deviation (RMS contrast).
    - `shadows_clipped`, `highlights_clipped` 0..1: the shares of pixels that are black or white.
    - `blurred`: sharpness under 0.2. `underexposed`: dark, with no lights. `overexposed`: very bright, or a quarter of
      it white, which a thing cut out on white is too.

    Sources: variance of the Laplacian, J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy"
    (2000), relative to the contrast as in S. Pertuz et al., "Analysis of focus measure operators" (2013); RMS contrast,
    E. Peli, "Contrast in complex images" (1990); darkness by a high percentile, as CleanVision does.
    """
    grey = Image.fromarray(pixels).convert("L")
    shares = np.array(grey.histogram()) / (grey.width * grey.height)
    levels = np.arange(256) / 255
    mean = float(shares @ levels)
    contrast = float(np.sqrt(shares @ (levels - mean) ** 2))
    lights = float(levels[min(255, int(np.searchsorted(np.cumsum(shares), 0.99)))])
    shadows, highlights = float(shares[: CLIPPED + 1].sum()), float(shares[-CLIPPED - 1 :].sum())
    detail = _detail(grey)
    sharpness = detail / (detail + HALF_SHARP)
    return {
        "sharpness": round(sharpness, 4),
        "exposure": _share(mean),
        "contrast": round(contrast, 4),
        "shadows_clipped": _share(shadows),
        "highlights_clipped": _share(highlights),
        "blurred": sharpness < BLURRED,
        "underexposed": lights < DARK_LIGHTS and mean < DARK_MEAN,
        "overexposed": highlights > BRIGHT_CLIPPED or mean > BRIGHT_MEAN,
    }


def _share(value: float) -> float:
    return round(min(value, 1.0), 4)  # a sum of shares may be above 1 by its rounding


def _detail(grey: Image.Image) -> float:
    """The variance of the Laplacian in the sharpest tiles, relative to the variance of the whole."""
    scale = min(1.0, SIDE / max(grey.size))
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    small = grey if size == grey.size else grey.resize(size, Image.Resampling.HAMMING)
    luma = np.asarray(small, dtype=np.float32) / 255
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    if not laplacian.size:
        return 0.0
    high, wide = (length // min(TILES, length) for length in laplacian.shape)  # of a tile
    down, across = laplacian.shape[0] // high, laplacian.shape[1] // wide
    tiles = laplacian[: down * high, : across * wide].reshape(down, high, across, wide)
    variances = np.sort(tiles.var(axis=(1, 3), dtype=np.float64), axis=None)
    sharpest = variances[-max(1, round(len(variances) / 10)) :]
    found = max(0.0, float(sharpest.mean()) - ROUNDING)
    return found / max(float(luma.var(dtype=np.float64)), FAINTEST)
