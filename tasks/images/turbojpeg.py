"""libjpeg-turbo by its TurboJPEG interface: JPEG to planes and planes to JPEG, without a copy on the way.

The calls are those of its versions 2.1 and 3, and give the same bytes in both. Their manual is the header turbojpeg.h.
"""

import ctypes
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_int, c_ulong, c_void_p
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tasks.images import refusals
from tasks.images.model import ImageRejected
from tasks.images.turbojpeg_library import Library, found

Pixels = NDArray[np.uint8]

# TJFLAG_…: what damage there is ends the work, instead of grey pixels; transforms are exact, so the same everywhere.
NO_REALLOCATION, ACCURATE_TRANSFORM, STOP_ON_WARNING, LIMIT_SCANS = 1024, 4096, 8192, 32768
DECODING = ACCURATE_TRANSFORM | STOP_ON_WARNING | LIMIT_SCANS
ENCODING = ACCURATE_TRANSFORM | STOP_ON_WARNING | NO_REALLOCATION
HUGE_PAGE = 1 << 21
DIVISORS = (8, 4, 2, 1)
# The library takes the largest of its scales (eighths up to two) whose result is no larger than the wanted size: below
# this many pixels a side two scales can give one size.
SCALABLE = 64


class Sampling(IntEnum):
    """What one sample of a chroma plane stands for (TJSAMP_…)."""

    FULL = 0
    HALF_WIDTH = 1
    QUARTER = 2
    GREY = 3
    HALF_HEIGHT = 4

    @property
    def factors(self) -> tuple[int, int]:
        """Luma samples across and down to one of chroma."""
        return _FACTORS[self]


_FACTORS = {
    Sampling.FULL: (1, 1),
    Sampling.HALF_WIDTH: (2, 1),
    Sampling.QUARTER: (2, 2),
    Sampling.GREY: (1, 1),
    Sampling.HALF_HEIGHT: (1, 2),
}


class Colours(IntEnum):
    """How the colours are stored (TJCS_…)."""

    RGB = 0
    YCBCR = 1
    GREY = 2
    CMYK = 3
    YCCK = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What the library itself reads in a file's header; `sampling` is None where it is none of ours."""

    width: int
    height: int
    sampling: Sampling | None
    colours: Colours


@dataclass(frozen=True, kw_only=True, slots=True)
class Planes:
    """A picture as JPEG stores it: `luma` [h, 1, w], `chroma` [h, 2, w] with Cb and Cr side by side, None in grey.

    Sides are those that `plane_size` tells, which with halved chroma means even ones of luma: the last column or row
    can be one that only fills up. C-contiguous.
    """

    luma: Pixels
    chroma: Pixels | None


def available() -> str | None:
    """The version of libjpeg-turbo that is used here, None where there is none."""
    library = found()
    return None if library is None else library.version


def plane_size(library: Library, width: int, height: int, sampling: Sampling, plane: int) -> tuple[int, int]:
    """Width and height of a plane (0 luma, 1 and 2 chroma) of a picture of this size."""
    return (
        library.calls.tjPlaneWidth(plane, width, sampling),
        library.calls.tjPlaneHeight(plane, height, sampling),
    )


def frame(library: Library, data: Pixels) -> Frame:
    """Read the header of a JPEG file [bytes]. Raises ImageRejected."""
    with _handle(library, "tjInitDecompress") as handle:
        return _frame(library, handle, data)


def decoded(library: Library, data: Pixels, expected: Frame, divisor: int = 1, *, apart: bool = False) -> Planes:
    """Decode a JPEG file [bytes] of YCbCr or grey into its planes, 1/`divisor` of its size a side (rounded up).

    With `apart` the planes do not lie in the heap, whose top then is what the library takes and frees for the
    coefficients of a progressive file: malloc keeps it for the next one, and a sixth of the time is saved.

    Raises ImageRejected for a file that is damaged anywhere, or whose header is not the expected one: the sizes of the
    buffers follow from that. A divisor other than 1 needs SCALABLE pixels a side; ValueError.
    """
    if expected.sampling is None or expected.colours not in (Colours.YCBCR, Colours.GREY):
        raise ValueError(f"not planes that we know: {expected}")
    width, height = _divided(expected, divisor)
    shapes = _shapes(library, width, height, expected.sampling)
    luma, *chroma = (_apart(shape) if apart else np.empty(shape, np.uint8) for shape in shapes)
    result = Planes(luma=luma, chroma=chroma[0] if chroma else None)
    pointers, strides = _rows(result)
    with _handle(library, "tjInitDecompress") as handle:
        _expect(library, handle, data, expected)
        failed = library.calls.tjDecompressToYUVPlanes(
            handle, data.ctypes.data, data.size, pointers, width, strides, height, DECODING
        )
        if failed:
            raise _rejected(library, handle)
    return result


def encoded(library: Library, picture: Planes, width: int, height: int, sampling: Sampling, quality: int) -> bytes:
    """A JPEG file of these planes, without metadata and with the standard's own Huffman tables.

    Raises ValueError for planes of other sizes than `plane_size` tells.
    """
    like = _shapes(library, width, height, sampling)
    if [part.shape for part in _parts(picture)] != like or not all(part.flags.c_contiguous for part in _parts(picture)):
        raise ValueError(f"planes that are not {like}")
    pointers, strides = _rows(picture)
    buffer = np.empty(library.calls.tjBufSize(width, height, sampling), np.uint8)  # as much as it can ever become
    target, size = c_void_p(buffer.ctypes.data), c_ulong(buffer.size)
    with _handle(library, "tjInitCompress") as handle:
        failed = library.calls.tjCompressFromYUVPlanes(
            handle, pointers, width, strides, height, sampling, byref(target), byref(size), quality, ENCODING
        )
        if failed:
            raise ValueError(f"{width} by {height} pixels of quality {quality}: {_message(library, handle)}")
    return buffer[: size.value].tobytes()


def _divided(expected: Frame, divisor: int) -> tuple[int, int]:
    if divisor != 1 and (divisor not in DIVISORS or min(expected.width, expected.height) < SCALABLE):
        raise ValueError(f"cannot decode {expected} to 1/{divisor}")
    return -(-expected.width // divisor), -(-expected.height // divisor)


def _shapes(library: Library, width: int, height: int, sampling: Sampling) -> list[tuple[int, int, int]]:
    across, down = plane_size(library, width, height, sampling, 0)
    luma = (down, 1, across)
    if sampling is Sampling.GREY:
        return [luma]
    across, down = plane_size(library, width, height, sampling, 1)
    return [luma, (down, 2, across)]


def _apart(shape: tuple[int, ...]) -> Pixels:
    """An array in memory of its own, in huge pages where the system has them."""
    size = math.prod(shape)
    memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(memory, np.uint8)
    start = -array.ctypes.data % HUGE_PAGE
    return array[start : start + size].reshape(shape)


def _parts(picture: Planes) -> list[Pixels]:
    return [picture.luma] if picture.chroma is None else [picture.luma, picture.chroma]


def _rows(picture: Planes) -> tuple[ctypes.Array[c_void_p], ctypes.Array[c_int]]:
    """Where the planes begin, and how many bytes lie between their rows."""
    starts, strides = [], []
    for part in _parts(picture):
        _, planes, width = part.shape
        starts += [part.ctypes.data + plane * width for plane in range(planes)]
        strides += [planes * width] * planes
    return (c_void_p * len(starts))(*starts), (c_int * len(strides))(*strides)


@contextmanager
def _handle(library: Library, init: str) -> Iterator[int]:
    handle = getattr(library.calls, init)()
    if handle is None:
        raise MemoryError("libjpeg-turbo has no memory left")
    try:
        yield handle
    finally:
        library.calls.tjDestroy(handle)


def _frame(library: Library, handle: int, data: Pixels) -> Frame:
    width, height, sampling, colours = c_int(), c_int(), c_int(), c_int()
    failed = library.calls.tjDecompressHeader3(
        handle, data.ctypes.data, data.size, byref(width), byref(height), byref(sampling), byref(colours)
    )
    if failed:
        raise _rejected(library, handle)
    if min(width.value, height.value) < 1:  # a file of nothing but tables is no error to the library
        raise refusals.unreadable()
    known = Sampling(sampling.value) if sampling.value in set(Sampling) else None
    return Frame(width=width.value, height=height.value, sampling=known, colours=Colours(colours.value))


def _expect(library: Library, handle: int, data: Pixels, expected: Frame) -> None:
    if _frame(library, handle, data) != expected:
        raise refusals.unreadable("The picture has another size than its header says.")


def _rejected(library: Library, handle: int) -> ImageRejected | MemoryError:
    message = _message(library, handle)
    if "Insufficient memory" in message or "Memory allocation failure" in message:
        return MemoryError("libjpeg-turbo has no memory left")
    return refusals.truncated() if "Premature end of JPEG file" in message else refusals.unreadable()


def _message(library: Library, handle: int) -> str:
    message: bytes = library.calls.tjGetErrorStr2(handle)
    return message.decode(errors="replace")
