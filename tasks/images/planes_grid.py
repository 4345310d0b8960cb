"""Where the samples of a plane lie on the picture, and what libvips has to be told to move them elsewhere. Pure.

A JPEG's chroma samples lie in the middle of the luma samples that they stand for (JFIF 1.02), so a plane with half as
many samples is a grid of twice the pitch that begins at the same edge. All planes are resized by this one rule, which
keeps colours where they belong in crops, in pictures of odd sizes and after a turn.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

WIDEST = 4.0  # source samples to one result: beyond it libvips' kernels of 8-bit numbers no longer add up to one
SPARE = 16  # results that may be computed in vain, before or behind the wanted ones, so that these come to lie right
EXACT = 1 / 32  # of a source sample: libvips itself places samples on steps of 1/64
CLOSE = 1 / 8  # of a sample of the result: what may remain where nothing better is found


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Samples along one axis: the i-th covers `pitch` pixels of the full picture from `start` + i * `pitch` on."""

    start: float
    pitch: float
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """A resize along one axis: `taken` samples of the source, from `first` on, by `shrink`; of the result the first
    `skip` go and the next `count` stay. The source has `source` samples, beyond which those at its edges are repeated.
    With a shrink of 1 the samples are only taken. A source sample is the mean of `block` of those that there are.
    """

    source: int
    first: int
    taken: int
    shrink: float
    skip: int
    count: int
    block: int = 1


def between(source: Grid, target: Grid) -> Pass | None:
    """The pass from one grid to another; None if it would enlarge or cannot be placed well."""
    shrink = target.pitch / source.pitch
    offset = (target.start - source.start) / source.pitch
    if abs(shrink - 1) * target.count < EXACT:
        first = round(offset)
        if abs(first - offset) > EXACT:
            return None
        return Pass(source=source.count, first=first, taken=target.count, shrink=1.0, skip=0, count=target.count)
    if shrink <= 1:
        return None
    if shrink > WIDEST:
        block = math.ceil(shrink / WIDEST)
        means = Grid(start=source.start, pitch=source.pitch * block, count=-(-source.count // block))
        found = between(means, target)
        return None if found is None else replace(found, block=block)
    best: Pass | None = None
    least = CLOSE * shrink
    for taken, skip, first, error in _placed(shrink, offset, target.count):
        if error <= least:
            best = Pass(source=source.count, first=first, taken=taken, shrink=shrink, skip=skip, count=target.count)
            least = error
        if error <= EXACT:
            break
    return best


def _placed(shrink: float, offset: float, count: int) -> Iterator[tuple[int, int, int, float]]:
    """Ways to have `count` results, the i-th around (i + 1/2) * shrink + offset: taken, skip, first, and the error.

    Of n samples libvips makes round(n / shrink) =: m, and puts the middle of these on the middle of those: the i-th
    around (i + 1/2) * shrink - (m * shrink - n) / 2 (vips_reduceh). So other m and n move them by parts of a sample.
    """
    for spare in range(SPARE + 1):
        made = count + spare
        for taken in range(math.ceil((made - 0.5) * shrink), math.ceil((made + 0.5) * shrink)):
            for skip in sorted({0, spare // 2, spare}):
                exact = offset - skip * shrink + (made * shrink - taken) / 2
                yield taken, skip, round(exact), abs(exact - round(exact))
