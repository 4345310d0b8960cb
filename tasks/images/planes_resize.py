"""Planes of other sizes and turned planes, on NumPy and libvips.

A part of a picture is an array [h, n, w] of n planes of one size, their rows side by side, as in turbojpeg.Planes.
"""

import numpy as np
import pyvips

from tasks.images.planes_grid import Pass
from tasks.images.turbojpeg import Pixels

KERNEL = "lanczos3"
LANES = 4  # rows that libvips resizes across at once: it is eight times as quick with four channels as with one
WOVEN = 8  # rows whose samples of one column make an element of 64 bits


def resized(part: Pixels, across: Pass, down: Pass) -> Pixels:
    """The samples that the passes make of a part, down first: that costs less. Raises pyvips.Error."""
    return _across(_down(part, down), across)


def turned(part: Pixels, turn: int) -> Pixels:
    """The same planes, turned like a picture with the EXIF orientation `turn`."""
    if turn >= 5:
        part = _transposed(part)
    if turn in (2, 3, 6, 7):
        part = part[:, :, ::-1]
    if turn in (3, 4, 7, 8):
        part = part[::-1]
    return np.ascontiguousarray(part)


def filled(part: Pixels, width: int, height: int) -> Pixels:
    """The same planes, their last column and row repeated up to a size; contiguous."""
    missing = (height - part.shape[0], width - part.shape[2])
    if missing == (0, 0):
        return np.ascontiguousarray(part)
    return np.pad(part, ((0, missing[0]), (0, 0), (0, missing[1])), mode="edge")


def _down(part: Pixels, one: Pass) -> Pixels:
    _, planes, width = part.shape
    if one.block > 1:
        image = _image(part, planes * width, 1).shrinkv(one.block, ceil=True)
        part = _pixels(image).reshape(-1, planes, width)
    end = one.first + one.taken
    if one.first >= 0 and end <= one.source:
        rows = part[one.first : end]
    else:
        rows = part[np.clip(np.arange(one.first, end), 0, one.source - 1)]
    if one.shrink == 1:
        return rows
    made = _pixels(_image(rows, planes * width, 1).reducev(one.shrink, kernel=KERNEL))
    return made.reshape(-1, planes, width)[one.skip : one.skip + one.count]


def _across(part: Pixels, one: Pass) -> Pixels:
    height, planes, width = part.shape
    rows = part.reshape(height * planes, width)
    if one.block > 1:
        rows = _pixels(_image(rows, width, 1).shrinkh(one.block, ceil=True)).reshape(len(rows), -1)
    if one.shrink == 1 and one.first >= 0 and one.first + one.taken <= one.source:
        return rows[:, one.first : one.first + one.taken].reshape(height, planes, -1)
    lanes = _woven(rows, one)
    if one.shrink != 1:
        image = _image(lanes, one.taken, LANES).reduceh(one.shrink, kernel=KERNEL)
        lanes = _pixels(image).reshape(len(lanes), -1, LANES)
    made = np.empty((len(rows), one.count), np.uint8)
    for lane in range(LANES):
        target = made[lane::LANES]
        target[:] = lanes[: len(target), one.skip : one.skip + one.count, lane]
    return made.reshape(height, planes, one.count)


def _woven(rows: Pixels, one: Pass) -> Pixels:
    """The samples that a pass takes of rows [h, w], four rows as the channels of one: [h / 4 rounded up, taken, 4]."""
    lanes = np.empty((-(-len(rows) // LANES), one.taken, LANES), np.uint8)
    start, end = max(0, one.first), min(one.first + one.taken, one.source)
    left, right = start - one.first, end - one.first
    for lane in range(LANES):
        source = rows[lane::LANES, start:end]
        lanes[: len(source), left:right, lane] = source
    lanes[:, :left] = lanes[:, left : left + 1]
    lanes[:, right:] = lanes[:, right - 1 : right]
    return lanes


def _transposed(part: Pixels) -> Pixels:
    """[h, n, w] as [w, n, h]: by eight rows woven into one of larger elements, which is three times as quick."""
    height, planes, width = part.shape
    woven = np.empty((-(-height // WOVEN), planes, width, WOVEN), np.uint8)
    for row in range(WOVEN):
        source = part[row::WOVEN]
        woven[: len(source), :, :, row] = source
    turned = np.ascontiguousarray(woven.view(np.uint64)[:, :, :, 0].transpose(2, 1, 0))
    return turned.view(np.uint8)[:, :, :height]


def _image(samples: Pixels, width: int, bands: int) -> pyvips.Image:
    return pyvips.Image.new_from_memory(
        np.ascontiguousarray(samples).data, width, samples.size // (width * bands), bands, "uchar"
    )


def _pixels(image: pyvips.Image) -> Pixels:
    return np.frombuffer(image.write_to_memory(), np.uint8)
