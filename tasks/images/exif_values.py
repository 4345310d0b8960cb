"""The values of EXIF's fields as JSON has them: numbers, cleaned text, times as ISO 8601 has them, degrees. Pure."""

import math
import re
import struct
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tasks.exif_tags import GPS_INFO

Order = Literal["<", ">"]
Value = str | int | float | list[int | float] | dict[str, "Value"]

MAX_TEXT = 512  # characters of one value
MAX_NUMBERS = 16  # of one value; more is a table for machines
BYTE, ASCII, UNDEFINED, UTF8 = 1, 2, 7, 129
CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}  # by type, for struct
RATIONALS = {5: "II", 10: "ii"}

TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
OFFSET = re.compile(r"[+-]\d\d:\d\d|Z")
TIMES = {  # a time: what may tell how far it is from UTC
    "DateTime": "OffsetTime",
    "DateTimeOriginal": "OffsetTimeOriginal",
    "DateTimeDigitized": "OffsetTimeDigitized",
}
DEGREES = {name: name + "Ref" for name in ("GPSLatitude", "GPSLongitude", "GPSDestLatitude", "GPSDestLongitude")}
CODED = frozenset({"UserComment", "GPSProcessingMethod", "GPSAreaInformation"})  # eight bytes name the characters
WIDE = frozenset({"XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject"})  # UTF-16 in bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """A value as it stands in the block."""

    order: Order
    type: int
    count: int
    data: memoryview


def told(raw: Mapping[str, Raw], names: Iterable[str]) -> dict[str, Value]:
    """The values of these names, in their order; names that have none, or one that makes no sense, are left out.

    Text is cleaned of what cannot be seen and cut at MAX_TEXT. Times are ISO 8601, with their distance from UTC where
    the block has it. GPSInfo is a dictionary of all that begins with GPS; latitudes and longitudes are degrees, north
    and east positive, and GPSAltitude metres above the sea.
    """
    found: dict[str, Value] = {}
    for name in names:
        if name == GPS_INFO:
            value: Value | None = told(raw, [one for one in raw if one.startswith("GPS")]) or None
        else:
            value = _value(raw, name)
        if value is not None:
            found[name] = value
    return found


def _value(raw: Mapping[str, Raw], name: str) -> Value | None:
    if name not in raw:
        return None
    value = _plain(name, raw[name])
    if name in TIMES:
        return _time(value, _value(raw, TIMES[name]))
    if name in DEGREES:
        return _degrees(value, _value(raw, DEGREES[name]))
    if name == "GPSAltitude" and isinstance(value, float) and _value(raw, "GPSAltitudeRef") == 1:
        return -value
    return value


def _plain(name: str, raw: Raw) -> str | int | float | list[int | float] | None:
    if name in WIDE:
        return cleaned(bytes(raw.data[: 2 * MAX_TEXT]).decode("utf-16-le", "replace"))
    if name in CODED and raw.type in (BYTE, ASCII, UNDEFINED):
        return _coded(raw)
    if raw.type in (ASCII, UTF8):
        return cleaned(bytes(raw.data[: 4 * MAX_TEXT]).decode("utf-8", "replace"))
    if raw.type == UNDEFINED:
        return raw.data[0] if raw.count == 1 else cleaned(bytes(raw.data[:MAX_TEXT]).decode("ascii", "ignore"))
    return _numbers(raw)


def _coded(raw: Raw) -> str | None:
    code, data = bytes(raw.data[:8]), bytes(raw.data[8 : 8 + 4 * MAX_TEXT])
    if code.startswith(b"UNICODE"):
        return cleaned(data.decode("utf-16-le" if raw.order == "<" else "utf-16-be", "replace"))
    return cleaned(data.decode("utf-8", "replace"))


def cleaned(given: str) -> str | None:
    """Up to the first NUL, without controls and what else is no character; None if nothing is left."""
    seen = "".join(" " if one in "\t\r\n" else one for one in given.partition("\0")[0])
    kept = "".join(one for one in seen if unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Cn", "Co"))
    return kept.strip()[:MAX_TEXT].rstrip() or None


def _numbers(raw: Raw) -> int | float | list[int | float] | None:
    if raw.count > MAX_NUMBERS:
        return None
    values: list[int | float]
    if raw.type in RATIONALS:
        pairs = list(struct.iter_unpack(raw.order + RATIONALS[raw.type], raw.data))
        if any(below == 0 for _, below in pairs):
            return None
        values = [round(above / below, 9) for above, below in pairs]
    else:
        values = list(struct.unpack(f"{raw.order}{raw.count}{CODES[raw.type]}", raw.data))
    if not all(math.isfinite(value) for value in values):
        return None
    return values[0] if len(values) == 1 else values


def _time(value: Value | None, offset: Value | None) -> str | None:
    if not isinstance(value, str) or (parts := TIME.fullmatch(value)) is None:
        return None
    known = isinstance(offset, str) and OFFSET.fullmatch(offset) is not None
    time = "{}-{}-{}T{}:{}:{}".format(*parts.groups()) + (str(offset) if known else "")
    try:
        datetime.fromisoformat(time)
    except ValueError:
        return None  # cameras whose clock was never set write zeros
    return time


def _degrees(value: Value | None, side: Value | None) -> float | None:
    parts = [value] if isinstance(value, int | float) else value
    if not isinstance(parts, list) or len(parts) > 3:
        return None
    degrees = sum((part / 60**place for place, part in enumerate(parts)), 0.0)
    if not 0 <= degrees <= 180:
        return None
    return round(-degrees if side in ("S", "W") else degrees, 7)
