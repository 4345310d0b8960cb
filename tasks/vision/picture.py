"""A picture as the networks see it: decoded once, shrunk while it is read, shared by all who look at it."""

import math
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.images import colours, pillow_decode
from tasks.images.model import Limits
from tasks.images.pictures import opened, refusing
from tasks.vision.manifest import Input
from tasks.vision.model import Tensor

Pixels = NDArray[np.uint8]

# Hashes, colours and the like want as many pixels as this, whatever the networks are.
NETWORKS = Input(name="", width=640, height=640, fit="pad")
BACKGROUND = "#ffffff"  # stands behind transparent pixels
CHANNELS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Picture:
    """Upright sRGB pixels of one decode, in two sizes; `width` and `height` are the full ones, upright.

    `small` is for networks, `detail` for those who read letters and codes; both may be the same.
    """

    def __init__(self, small: Image.Image, detail: Image.Image, width: int, height: int) -> None:
        self._small, self._detail = small, detail
        self.width, self.height = width, height
        self._tensors: dict[tuple[object, ...], Tensor] = {}

    def pixels(self) -> Pixels:
        """[height, width, 3] of 0..255, RGB, as small as networks want it."""
        return np.asarray(self._small)

    def detail(self, longest: int) -> Pixels:
        """The same for readers of small print, at most `longest` pixels on the longer side."""
        image, longer = self._detail, max(self._detail.size)
        if longer > longest:
            across, down = (max(1, round(side * longest / longer)) for side in image.size)
            image = image.resize((across, down), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(image)

    def tensor(self, wanted: Input) -> Tensor:
        """The picture as a network takes it, without a batch axis."""
        key = tuple(wanted.model_dump(exclude={"name"}).values())
        if key not in self._tensors:
            self._tensors[key] = _tensor(self._small, wanted)
        return self._tensors[key]

    def placed(self, x: float, y: float, wanted: Input) -> tuple[float, float]:
        """Where a point of the tensor (shares 0..1 of it) lies in the picture (shares of it; may be outside)."""
        across, down = _window(self._small.size, wanted)
        return (1 - across) / 2 * _centred(wanted) + x * across, (1 - down) / 2 * _centred(wanted) + y * down


def read(file: Path | BinaryIO, inputs: Iterable[Input], limits: Limits, *, detail: int = 0) -> Picture:
    """Decode a picture once, no larger than all of the inputs need, or the `detail` of so many pixels a side.

    The inputs are those of all networks that might look, not only of those that will: so what one sees, and says, does
    not depend on who else is asked. Of an animation or a file of pages the first one is looked at, however many
    follow. Raises ImageRejected.
    """
    with opened(file, limits.of_one_frame) as (image, found), refusing(limits):
        factor = _factor(max(_scale(found.width, found.height, wanted) for wanted in (NETWORKS, *inputs)))
        finer = min(factor, _factor(detail / max(found.width, found.height))) if detail else factor
        source = pillow_decode.decode(image, found.format, 1 / finer / pillow_decode.CASCADE_RATIO)
        # Both are made of what the decoder gave: averages of averages would be rounded twice.
        small = _upright(source, factor)
        larger = _upright(source, finer) if finer < factor else small
    return Picture(small, larger, source.width, source.height)


def _upright(source: pillow_decode.Source, factor: int) -> Image.Image:
    """The decoded picture with its sides divided by the factor, as people see it."""
    pixels = source.level.image
    left = round(factor * max(pixels.size) / max(source.width, source.height))
    if left > 1:
        pixels = pixels.reduce(left)
    pixels = colours.flattened(colours.srgb(pixels, source.profile), BACKGROUND)
    turn = pillow_decode.TURNS.get(source.orientation)
    return (pixels if turn is None else pixels.transpose(turn)).convert("RGB")


def _factor(scale: float) -> int:
    """The largest power of two by which a side may be divided that is needed at this scale."""
    return int(2 ** max(0, math.floor(math.log2(1 / scale)))) if scale > 0 else 1


def _scale(width: int, height: int, wanted: Input) -> float:
    """How much smaller than the file a picture may be for this input: 1 is the full size."""
    across, down = wanted.reach
    match wanted.fit:
        case "crop":
            return max(across, down) / min(width, height)
        case "stretch":
            return max(across / width, down / height)
        case "pad":
            return min(across / width, down / height)


def _centred(wanted: Input) -> float:
    return 0.0 if wanted.fit == "pad" else 1.0


def _window(size: tuple[int, int], wanted: Input) -> tuple[float, float]:
    """Width and height of the tensor as shares of the picture."""
    width, height = size
    match wanted.fit:
        case "crop":
            side = min(size) * wanted.share
            return side / width, side / height
        case "stretch":
            return wanted.share, wanted.share
        case "pad":
            across, down = _padded(size, wanted)
            return wanted.width / across, wanted.height / down


def _padded(size: tuple[int, int], wanted: Input) -> tuple[int, int]:
    scale = min(wanted.width / size[0], wanted.height / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _tensor(image: Image.Image, wanted: Input) -> Tensor:
    pixels = _fitted(image, wanted)
    if wanted.recompressed:
        pixels = _recompressed(pixels)
    shape = (wanted.height, wanted.width)
    values = np.zeros((3, *shape) if wanted.layout == "nchw" else (*shape, 3), np.float32)
    planes = values if wanted.layout == "nchw" else values.transpose(2, 0, 1)
    seen = planes[:, : pixels.shape[0], : pixels.shape[1]]
    for place, channel in enumerate(CHANNELS[wanted.channels]):
        seen[place] = pixels[:, :, channel]
        if mean := wanted.mean[place]:
            seen[place] -= np.float32(mean)
    if wanted.divisor != 1:
        values /= np.float32(wanted.divisor)
    return values


def _fitted(image: Image.Image, wanted: Input) -> Pixels | NDArray[np.float32]:
    """[height, width, 3 or 4]: the size of the input, or what is to be filled up to it."""
    size = (wanted.width, wanted.height)
    match wanted.fit:
        case "crop":
            side = max(1, int(min(image.size) * wanted.share))
            left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2  # as in EfficientNet's own code
            return _resized(image.crop((left, top, left + side, top + side)), size, wanted)
        case "stretch":
            whole = _resized(image, (round(wanted.reach[0]), round(wanted.reach[1])), wanted)
            left, top = (whole.shape[1] - wanted.width) // 2, (whole.shape[0] - wanted.height) // 2
            return whole[top : top + wanted.height, left : left + wanted.width]
        case "pad":
            return _resized(image, _padded(image.size, wanted), wanted)


def _resized(image: Image.Image, size: tuple[int, int], wanted: Input) -> Pixels | NDArray[np.float32]:
    if wanted.resample == "plain":
        return _plain(image, size)
    return np.asarray(image.resize(size, RESAMPLE[wanted.resample]))


def _plain(image: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear between the four nearest pixels, their corners aligned at the top left: TensorFlow 1's resize_bilinear.

    [height, width, 4], of which the last channel means nothing: whole pixels of 32 bits are gathered.
    """
    pixels = np.asarray(image.convert("RGBX")).view(np.uint32)[:, :, 0]
    (height, width), (across, down) = pixels.shape, size
    x, y = np.arange(across, dtype=np.float32) * (width / across), np.arange(down, dtype=np.float32) * (height / down)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    by_x = np.repeat((x - left).astype(np.float32), 4)
    above, below = (_between(rows, left, right, by_x) for rows in (pixels[top], pixels[bottom]))
    below -= above
    below *= (y - top).astype(np.float32)[:, None]
    below += above
    return below.reshape(down, across, 4)


def _between(
    rows: NDArray[np.uint32], left: NDArray[np.intp], right: NDArray[np.intp], by: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[rows, 4 channels of each column]; works in place, since half of the time would be spent on new arrays."""
    one, other = (np.take(rows, at, axis=1).view(np.uint8).astype(np.float32) for at in (left, right))
    other -= one
    other *= by
    other += one
    return other


def _recompressed(pixels: Pixels | NDArray[np.float32]) -> Pixels:
    data = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:, :, :3], np.uint8)).save(data, "JPEG")
    data.seek(0)
    with Image.open(data, formats=["JPEG"]) as again:
        return np.asarray(again)
