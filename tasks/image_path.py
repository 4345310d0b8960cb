"""The signed paths under which pictures are made on the fly: /i/{key id}.{signature}/{operations}/{upload}. Pure."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import flaws_of, nearest
from tasks.image_params import ImageResize, Variant
from tasks.values import MAX_FLAWS, escape

NAME = "picture"  # of the variant that a path asks for
NOTHING = "_"  # stands where no operation does
MAX_OPERATIONS = 1024  # characters
MAX_PAGE = 10_000
MAX_TIME = 253_402_300_799  # the end of the year 9999
AT = "/path/operations"  # where flaws are: a pointer into the request

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,40})?")
_WHOLE = re.compile(r"[0-9]{1,12}")
_MARK_FIELDS = ("upload", "gravity", "scale", "opacity", "margin", "tile")
_PAD_FIELDS = ("top", "right", "bottom", "left")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a path asks for. `page` counts from 1; `expires_at` is in Unix seconds, None: it holds for ever."""

    variant: Variant
    page: int = 1
    expires_at: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A field of Variant as a path has it: `read` makes JSON of the text behind the colon, `write` the text of a value.

    What `read` does not understand it gives back as it is, for the model to refuse; it raises ValueError, with what is
    expected, where the model's words would not help.
    """

    short: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def parse(operations: str) -> Asked:
    """What the operations ask for. Raises InvalidDocument with a flaw at each operation that is wrong."""
    if len(operations) > MAX_OPERATIONS:
        raise InvalidDocument([Flaw(pointer=AT, detail=f"is longer than {MAX_OPERATIONS} characters")])
    flaws: list[Flaw] = []
    fields, page, expires_at = _given(operations, flaws), 1, None
    if "page" in fields:
        page = _whole_in("page", fields.pop("page"), 1, MAX_PAGE, flaws)
    if "exp" in fields:
        expires_at = _whole_in("exp", fields.pop("exp"), 0, MAX_TIME, flaws)
    try:
        variant = Variant.model_validate_json(to_json({"name": NAME, **fields}))
    except ValidationError as exc:
        raise InvalidDocument([*flaws, *flaws_of(exc, Variant, AT)][:MAX_FLAWS]) from exc
    if variant.gravity in ImageResize.GRAVITIES:
        detail = f"{variant.gravity!r} needs an analysis, which only a job has; 'attention' and 'entropy' need none"
        flaws.append(Flaw(pointer=f"{AT}/gravity", detail=detail))
    if flaws:
        raise InvalidDocument(flaws[:MAX_FLAWS])
    return Asked(variant=variant, page=page, expires_at=expires_at)


def written(asked: Asked) -> str:
    """The operations that ask for it, in their canonical order and spelling, without what goes without saying.

    Raises ValueError for what a path cannot say: the gravities that need an analysis, and enormous numbers.
    """
    if asked.variant.gravity in ImageResize.GRAVITIES:
        raise ValueError(f"a path cannot say gravity {asked.variant.gravity!r}")
    told = []
    for field, operation in OPERATIONS.items():
        value = getattr(asked.variant, field)
        if value != Variant.model_fields[field].default:
            text = operation.write(value)
            told.append(f"{operation.short}:{text}" if text else operation.short)
    if asked.page != 1:
        told.append(f"page:{asked.page}")
    if asked.expires_at is not None:
        told.append(f"exp:{asked.expires_at}")
    return ",".join(told) or NOTHING


def signature(key: str, operations: str, upload: str) -> str:
    """What signs a path: HMAC-SHA256 under the characters of the key, base64url without padding (43 characters)."""
    made = hmac.new(key.encode(), f"/{operations}/{upload}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(made).rstrip(b"=").decode()


def signed(key_id: str, key: str, operations: str, upload: str) -> str:
    """The whole path of a picture."""
    return f"/i/{key_id}.{signature(key, operations, upload)}/{operations}/{upload}"


def _given(operations: str, flaws: list[Flaw]) -> dict[str, Any]:
    """The operations by their long names, as JSON values; what is none of them becomes a flaw."""
    found: dict[str, Any] = {}
    for item in operations.split(",") if operations != NOTHING else ():
        name, _, text = item.partition(":")
        field = _LONG.get(name, name)
        if field not in OPERATIONS and field not in _BESIDE:
            hint = nearest(name, [*OPERATIONS, *_LONG, *_BESIDE])
            flaws.append(Flaw(pointer=f"{AT}/{escape(name[:64])}", detail=f"there is no such operation{hint}"))
        elif field in found:
            flaws.append(Flaw(pointer=f"{AT}/{field}", detail="stands there twice"))
        else:
            try:
                found[field] = OPERATIONS[field].read(text) if field in OPERATIONS else _number(text)
            except ValueError as exc:
                found[field] = None
                flaws.append(Flaw(pointer=f"{AT}/{field}", detail=str(exc)))
    return {field: value for field, value in found.items() if value is not None}


def _whole_in(name: str, value: Any, least: int, most: int, flaws: list[Flaw]) -> int:
    if isinstance(value, int) and least <= value <= most:
        return value
    flaws.append(Flaw(pointer=f"{AT}/{name}", detail=f"must be a whole number from {least} to {most}"))
    return least


def _number(text: str) -> Any:
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _decimal(value: float) -> str:
    """The shortest decimal that is read as the same number; whole numbers without a point. Raises ValueError."""
    text = f"{Decimal(repr(float(value))):f}".removesuffix(".0")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"a path cannot say the number {value!r}")
    return text


def _flag(text: str) -> Any:
    return {"": True, "1": True, "0": False}.get(text, text)


def _flagged(value: bool) -> str:
    return "" if value else "0"


def _colour(text: str) -> str:
    return f"#{text}"


def _crop(text: str) -> Any:
    parts = text.split(":")
    if len(parts) == 5 and parts[4] in ("share", "px"):
        return {**_crop(":".join(parts[:4])), "unit": parts[4]}
    if len(parts) != 4:
        raise ValueError("is x:y:width:height, in pixels, or x:y:width:height:share")
    return dict(zip(("x", "y", "width", "height"), map(_number, parts), strict=True))


def _cropped(crop: Any) -> str:
    sides = ":".join(_decimal(side) for side in (crop.x, crop.y, crop.width, crop.height))
    return sides if crop.unit == "px" else f"{sides}:{crop.unit}"


def _pad(text: str) -> Any:
    parts = text.split(":")
    if len(parts) != len(_PAD_FIELDS):
        raise ValueError("is top:right:bottom:left, in pixels")
    return dict(zip(_PAD_FIELDS, map(_number, parts), strict=True))


def _padded(pad: Any) -> str:
    return ":".join(str(getattr(pad, field)) for field in _PAD_FIELDS)


def _mark(text: str) -> Any:
    parts = text.split(":")
    if len(parts) > len(_MARK_FIELDS):
        raise ValueError(f"is {':'.join(_MARK_FIELDS)}; what is empty, or left out at the end, is as it is by default")
    read: Mapping[str, Callable[[str], Any]] = {"upload": str, "gravity": str, "tile": _flag}
    given = zip(_MARK_FIELDS, parts, strict=False)
    return {field: read.get(field, _number)(part) for field, part in given if part or field == "upload"}


def _marked(mark: Any) -> str:
    default = {field: type(mark).model_fields[field].default for field in _MARK_FIELDS}
    values = {field: getattr(mark, field) for field in _MARK_FIELDS}
    told = ["" if values[field] == default[field] else _mark_part(values[field]) for field in _MARK_FIELDS]
    return ":".join(told).rstrip(":")


def _mark_part(value: Any) -> str:
    if isinstance(value, bool):
        return "1"
    return value if isinstance(value, str) else _decimal(value)


OPERATIONS: Mapping[str, Operation] = {
    "trim": Operation(short="trim", read=_number, write=str),
    "crop": Operation(short="c", read=_crop, write=_cropped),
    "rotate": Operation(short="rot", read=_number, write=str),
    "flip": Operation(short="flip", read=str, write=str),
    "width": Operation(short="w", read=_number, write=str),
    "height": Operation(short="h", read=_number, write=str),
    "dpr": Operation(short="dpr", read=_number, write=_decimal),
    "fit": Operation(short="fit", read=str, write=str),
    "enlarge": Operation(short="el", read=_flag, write=_flagged),
    "gravity": Operation(short="g", read=str, write=str),
    "grayscale": Operation(short="gray", read=_flag, write=_flagged),
    "blur": Operation(short="bl", read=_number, write=_decimal),
    "sharpen": Operation(short="sh", read=_number, write=_decimal),
    "watermark": Operation(short="wm", read=_mark, write=_marked),
    "pad": Operation(short="pad", read=_pad, write=_padded),
    "background": Operation(short="bg", read=_colour, write=lambda colour: str(colour).removeprefix("#")),
    "format": Operation(short="f", read=str, write=str),
    "animated": Operation(short="an", read=_flag, write=_flagged),
    "quality": Operation(short="q", read=_number, write=str),
    "lossless": Operation(short="ll", read=_flag, write=_flagged),
    "effort": Operation(short="ef", read=_number, write=str),
    "progressive": Operation(short="prog", read=_flag, write=_flagged),
    "max_bytes": Operation(short="mb", read=_number, write=str),
    "metadata": Operation(short="meta", read=str, write=str),
    "keep_icc": Operation(short="icc", read=_flag, write=_flagged),
}
_LONG = {operation.short: field for field, operation in OPERATIONS.items()}
_BESIDE = ("page", "exp")  # not of the variant
