"""Where libjpeg-turbo's TurboJPEG library lies, and its calls as ctypes has to know them."""

import ctypes
import mmap
import os
import re
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_ulong, c_void_p
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

SONAME = "libturbojpeg.so.0"  # where Linux distributions have it: looked for without a process, as find_library needs
WHEEL = "turbojpeg"  # carries the library, beside a binding that we do not use
VERSION = re.compile(rb"libjpeg-turbo version ([0-9][0-9.]*)")

POINTERS, NUMBERS = POINTER(c_void_p), POINTER(c_int)
CALLS: dict[str, tuple[object, list[object]]] = {
    "tjInitDecompress": (c_void_p, []),
    "tjInitCompress": (c_void_p, []),
    "tjDestroy": (c_int, [c_void_p]),
    "tjGetErrorStr2": (c_char_p, [c_void_p]),
    "tjDecompressHeader3": (c_int, [c_void_p, c_void_p, c_ulong, NUMBERS, NUMBERS, NUMBERS, NUMBERS]),
    "tjDecompressToYUVPlanes": (c_int, [c_void_p, c_void_p, c_ulong, POINTERS, c_int, NUMBERS, c_int, c_int]),
    "tjCompressFromYUVPlanes": (
        c_int,
        [c_void_p, POINTERS, c_int, NUMBERS, c_int, c_int, POINTERS, POINTER(c_ulong), c_int, c_int],
    ),
    "tjBufSize": (c_ulong, [c_int, c_int, c_int]),
    "tjPlaneWidth": (c_int, [c_int, c_int, c_int]),
    "tjPlaneHeight": (c_int, [c_int, c_int, c_int]),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """The library as it was found; `version` such as "2.1.5"."""

    calls: ctypes.CDLL
    version: str


@cache
def found() -> Library | None:
    """The system's library, else the one that the wheel carries; one that lacks a call does not count."""
    return next((library for name in candidates() if (library := loaded(name)) is not None), None)


def candidates() -> Iterator[str]:
    yield SONAME
    yield from carried()
    if (name := find_library("turbojpeg")) is not None:
        yield name


def carried() -> Iterator[str]:
    """The paths of the library in the wheel, if that is installed."""
    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        return
    for file in files:
        if file.name.startswith("libturbojpeg"):
            yield str(file.locate())


def loaded(name: str) -> Library | None:
    """A library by its name or path; None if it cannot be loaded, or is not one that we can use."""
    try:
        calls = ctypes.CDLL(name)
        for call, (result, arguments) in CALLS.items():
            function = getattr(calls, call)
            function.restype, function.argtypes = result, arguments
        return Library(calls=calls, version=_version(calls))
    except (OSError, AttributeError):
        return None


def _version(calls: ctypes.CDLL) -> str:
    """As it stands in the library's own text: no call tells it."""
    with Path(_path(calls)).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        match = VERSION.search(text)
        return "unknown" if match is None else match[1].decode()


def _path(calls: ctypes.CDLL) -> str:
    """The file that a loaded library came from."""
    symbol = (c_char_p * 4)()  # a Dl_info of dladdr(3): four pointers, the first of them to the file's name
    of_address = ctypes.CDLL(None).dladdr
    of_address.argtypes = [c_void_p, c_void_p]
    if not of_address(ctypes.cast(calls.tjDestroy, c_void_p), ctypes.byref(symbol)):
        raise OSError("a library without a file")
    return os.fsdecode(symbol[0] or b"")
