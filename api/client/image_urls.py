"""Signed links to pictures that are made on the fly. Nothing is asked of the platform for it."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from api.client.failures import MillraceError

Value = bool | float | str | datetime | Sequence[float | str] | None

NAMES = (
    *("trim", "crop", "rotate", "flip", "width", "height", "dpr", "fit", "enlarge", "gravity", "grayscale", "blur"),
    *("sharpen", "watermark", "pad", "background", "format", "animated", "quality", "lossless", "effort"),
    *("progressive", "max_bytes", "metadata", "keep_icc", "page", "exp"),
)
SHORT = {
    "c": "crop",
    "rot": "rotate",
    "w": "width",
    "h": "height",
    "el": "enlarge",
    "g": "gravity",
    "gray": "grayscale",
    "bl": "blur",
    "sh": "sharpen",
    "wm": "watermark",
    "bg": "background",
    "f": "format",
    "an": "animated",
    "q": "quality",
    "ll": "lossless",
    "ef": "effort",
    "prog": "progressive",
    "mb": "max_bytes",
    "meta": "metadata",
    "icc": "keep_icc",
}
_WRITTEN = {SHORT[short]: short for short in ("w", "h", "q", "f", "g")}
_SIGNING = re.compile(r"(imk_[a-z0-9]{26})\.([A-Za-z0-9_-]{43})")
_UPLOAD = re.compile(r"upl_[a-z0-9]{26}")
_TEXT = re.compile(r"[A-Za-z0-9._:-]*")  # what stands in a path as it is


def image_path(upload: str, signing: str, operations: Mapping[str, Value]) -> str:
    """The path of a picture of an upload, signed; `signing` is the id of an image key, a point, and the key.

    Operations are the fields of a variant of image.resize, or their short names, and `page` and `exp` (a time). A list
    is for what has several values: `crop=(0, 0, 0.5, 1, "share")`, `pad=(8, 8, 8, 8)`,
    `watermark=("upl_…", "southeast", 0.2)`; None leaves an operation out. Raises MillraceError.
    """
    key = _SIGNING.fullmatch(signing)
    if key is None:
        raise MillraceError(
            "an image key is written imk_….<key>, as `millrace image-keys create` shows it once; in Python it is the "
            "`signing` of the key that was made"
        )
    if not _UPLOAD.fullmatch(upload):
        raise MillraceError(f"{upload!r} is not the id of an upload; they begin with upl_")
    told = [_operation(name, value) for name, value in _by_long_names(operations).items()]
    wanted = f"{','.join(told) or '_'}/{upload}"
    made = hmac.new(key[2].encode(), f"/{wanted}".encode(), hashlib.sha256).digest()
    return f"/i/{key[1]}.{urlsafe_b64encode(made).decode().rstrip('=')}/{wanted}"


def _by_long_names(operations: Mapping[str, Value]) -> dict[str, Value]:
    """What is wanted; a short name stands for its long one. Raises MillraceError."""
    found: dict[str, Value] = {}
    for given, value in operations.items():
        name = SHORT.get(given, given)
        if name not in NAMES:
            raise MillraceError(f"there is no operation {given!r}; there are: {', '.join(NAMES)}")
        if value is None:
            continue
        if name in found:
            raise MillraceError(f"{name!r} is given twice")
        found[name] = value
    return found


def _operation(name: str, value: Value) -> str:
    short = _WRITTEN.get(name, name)
    if value is True:
        return short
    parts = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    text = ":".join(map(_word, parts))
    if name == "background":
        text = text.removeprefix("#")
    if not _TEXT.fullmatch(text):
        raise MillraceError(f"{name} cannot be {text!r}")
    return f"{short}:{text}"


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return str(int(value.timestamp()))
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    return str(value)
