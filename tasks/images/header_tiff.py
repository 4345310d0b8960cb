"""The header of a TIFF: the chain of its pages, and the tags of one of them (TIFF 6.0; BigTIFF). Pure."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice

from tasks.images import refusals
from tasks.images.header_ifd import ORIENTATION, SIZES, Entry, Shape, begun, entries, length, numbers
from tasks.images.header_stream import Stream
from tasks.images.model import Header, ImageRejected, Limits

MAX_PAGES = 10_000  # counted; no more can be asked for
MAX_SAMPLES = 16  # of a pixel
BYTES_A_PIXEL = 16  # four numbers of 32 bits; a picture that holds more in each may only have fewer pixels

WIDTH, HEIGHT, BITS, SAMPLES, EXTRA_SAMPLES, PROFILE = 256, 257, 258, 277, 338, 34675
TILE_WIDTH, TILE_HEIGHT = 322, 323
PLACES = (273, 279, 324, 325)  # where the strips and tiles are, and their bytes
ALPHA = (1, 2)


def read(stream: Stream, limits: Limits, page: int) -> Header:
    """Count the pages and read the tags of the one that is asked for; directories within it are left alone.

    Raises ImageRejected.
    """
    shape, first = begun(stream)
    places = list(islice(_pages(stream, shape, first), MAX_PAGES))
    if not places:
        raise refusals.unreadable("The TIFF has no picture in it.")
    if page > len(places):
        raise refusals.page_missing(page, len(places))
    tags = entries(stream, shape, places[page - 1])

    def first_of(tag: int, default: int) -> int:
        found = numbers(stream, shape, tags.get(tag))
        return found[0] if found else default

    width, height = first_of(WIDTH, 0), first_of(HEIGHT, 0)
    _bound_places(stream, tags)
    _bound_pixel(numbers(stream, shape, tags.get(BITS)) or (1,), first_of(SAMPLES, 1), width * height, limits)
    if first_of(TILE_WIDTH, 1) * first_of(TILE_HEIGHT, 1) > limits.max_pixels:
        raise refusals.too_many_pixels(limits)
    turn = first_of(ORIENTATION, 1)
    return Header(
        format="tiff",
        width=width,
        height=height,
        orientation=turn if 1 <= turn <= 8 else 1,
        pages=len(places),
        has_alpha=any(kind in ALPHA for kind in numbers(stream, shape, tags.get(EXTRA_SAMPLES))),
        has_profile=PROFILE in tags,
    )


def _pages(stream: Stream, shape: Shape, first: int) -> Iterator[int]:
    """Where the directories are, until the chain ends, breaks or comes back to where it was."""
    place, seen = first, set[int]()
    while place and place not in seen:
        seen.add(place)
        try:
            count = length(stream, shape, place)
        except ImageRejected:
            return
        yield place
        try:
            stream.seek(place + (8 if shape.big else 2) + count * shape.entry)
            place = stream.number(shape.offset, shape.order)
        except ImageRejected:
            return


def _bound_places(stream: Stream, tags: Mapping[int, Entry]) -> None:
    for tag in PLACES:
        if (entry := tags.get(tag)) and entry.count * SIZES.get(entry.type, 1) > stream.size:
            raise refusals.unreadable()


def _bound_pixel(bits: tuple[int, ...], samples: int, pixels: int, limits: Limits) -> None:
    if not 1 <= samples <= MAX_SAMPLES or max(bits) > 64:
        raise refusals.unsupported(f"A TIFF of {samples} channels with {max(bits)} bits", "Save it again with fewer.")
    if math.ceil(samples * max(bits) / 8) * pixels > BYTES_A_PIXEL * limits.max_pixels:
        raise refusals.too_many_pixels(limits)
