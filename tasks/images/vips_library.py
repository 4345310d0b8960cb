"""libvips, made ready in the process that uses it, and its errors as ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyvips

from tasks.images import refusals

# The loaders that may see a stranger's bytes, by the format that the header told: nothing is left to sniffing.
LOADERS = {
    "jpeg": "jpegload",
    "png": "pngload",
    "webp": "webpload",
    "gif": "gifload",
    "tiff": "tiffload",
    "avif": "heifload",
}
CLASSES = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")  # of these loaders, as libvips calls them

# How libvips and the libraries below it say that a file ended too soon, in small letters.
CUT_SHORT = (
    "premature end",
    "libpng read error",
    "unexpected end",
    "end of file",
    "bad seek",
    "seek error",
    "io error",
    "read error",
    "not enough data",
    "got 0 bytes",
    "unable to parse image",  # WebP of any kind of damage
)
# How they say that there is no memory left, in small letters; and what a picture says that asks for very much.
NO_MEMORY = ("out of memory", "insufficient memory", "memory allocation error", "error creating thread")
NOT_WRITTEN = ("failed to allocate", "memory error", "wbuffer_write: write failed")  # that of an encoder
BOMB = "security limit"
LACKING = "libvips has no memory left"

# What pyvips raises for an error of libvips; the second where its message repeats bytes of a file that are no UTF-8.
ERRORS = (pyvips.Error, UnicodeDecodeError)

COMPLETE = {"png": b"IEND", "jpeg": b"\xff\xd9", "gif": b"\0;"}  # what a whole file has at its end
TAIL = 64  # bytes in which we look for that


def version() -> str:
    return "vips " + ".".join(str(pyvips.version(part)) for part in range(3))


def ready(threads: int) -> None:
    """Make libvips ready; to be called before it is used, and not before the process has forked for the last time.

    Its worker threads do not survive a fork: a child of a process that has used libvips would wait for them for ever.
    """
    _guarded()
    pyvips.voperation.concurrency_set(threads)


@contextmanager
def single() -> Iterator[None]:
    """Work with one thread while this lasts, as an encoder whose bytes depend on their number has to."""
    threads = pyvips.voperation.concurrency_get()
    pyvips.voperation.concurrency_set(1)
    try:
        yield
    finally:
        pyvips.voperation.concurrency_set(threads)


@cache
def _guarded() -> None:
    pyvips.voperation.cache_set_max(0)  # pictures do not come twice
    pyvips.voperation.block_untrusted_set(True)
    pyvips.voperation.operation_block_set("VipsForeignLoad", True)
    for name in CLASSES:
        pyvips.voperation.operation_block_set(f"VipsForeignLoad{name}", False)
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # odd tags in strangers' files are no news


@contextmanager
def refusing(file: Path, format_: str) -> Iterator[None]:
    """Turn what libvips raises while it reads a file into ImageRejected, or MemoryError where there is too little.

    libvips gathers the messages of everything that failed before, so they are cleared first.
    """
    pyvips.vips_lib.vips_error_clear()
    try:
        yield
    except ERRORS as exc:
        if _says(exc, NO_MEMORY) and not _says(exc, (BOMB,)):
            raise MemoryError(LACKING) from exc
        cut = _says(exc, CUT_SHORT) and not is_whole(file, format_)
        raise (refusals.truncated() if cut else refusals.unreadable()) from exc


@contextmanager
def working() -> Iterator[None]:
    """Turn what libvips raises where it has too little memory into MemoryError; other errors here are our own."""
    pyvips.vips_lib.vips_error_clear()
    try:
        yield
    except ERRORS as exc:
        if _says(exc, (*NO_MEMORY, *NOT_WRITTEN)):
            raise MemoryError(LACKING) from exc
        raise


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    message = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    return any(found in message.lower() for found in words)


def is_whole(file: Path, format_: str) -> bool:
    """Whether the file has its end, as far as that can be told: then its pixels are damaged, not cut short."""
    with file.open("rb") as stream:
        if format_ == "webp":
            head = stream.read(8)
            return stream.seek(0, 2) >= 8 + int.from_bytes(head[4:], "little")
        if format_ not in COMPLETE:
            return False
        stream.seek(max(0, stream.seek(0, 2) - TAIL))
        return COMPLETE[format_] in stream.read()
