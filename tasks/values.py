"""JSON values as rows can carry them, and as every part of the platform can. Pure."""

import math
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from storage.model import Json
from tasks.errors import Flaw, InvalidDocument

MAX_DEPTH = 32  # levels of arrays and objects
MAX_VALUES = 100_000
MAX_FLAWS = 20  # told at once: whoever sends more does not read them, and each one costs time

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_json(raw: bytes) -> Any:
    """The JSON value in `raw`, of strings, numbers and nesting that every part of the platform can carry.

    Raises InvalidDocument.
    """
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as exc:
        raise InvalidDocument([Flaw(pointer="", detail=f"this is not JSON: {exc}")]) from exc
    flaws = list(_uncarriable(value))
    if flaws:
        raise InvalidDocument(flaws[:MAX_FLAWS])
    return value


def escape(token: object) -> str:
    """A reference token of a JSON pointer (RFC 6901, section 3)."""
    return str(token).replace("~", "~0").replace("/", "~1")


def storable(value: Json) -> Json:
    """The value with what PostgreSQL cannot store in text, NUL and halves of surrogate pairs, replaced by U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(str(key)): storable(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [storable(child) for child in value]
    return value


def merged(value: Json, patch: Json) -> Json:
    """The value with a JSON merge patch applied (RFC 7396): objects are merged, null removes a field."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            kept.pop(key, None)
        else:
            kept[key] = merged(kept.get(key), change)
    return kept


def depth(value: Json, limit: int) -> int:
    """How many arrays and objects stand within one another; not looked at beyond `limit` + 1."""
    level, found = _children([value]), 0
    while level is not None and found <= limit:
        found += 1
        level = _children(level)
    return found


def _children(values: list[Json]) -> list[Json] | None:
    """What stands in the arrays and objects among the values; None if there are none of these."""
    containers = [value for value in values if isinstance(value, dict | list | tuple)]
    if not containers:
        return None
    return [child for one in containers for child in (one.values() if isinstance(one, dict) else one)]


def _uncarriable(document: Any) -> Iterator[Flaw]:
    """What JSON allows and PostgreSQL, Python or JavaScript would refuse or change."""
    pending: list[tuple[str, Any, int]] = [("", document, 1)]
    seen = 0
    while pending:
        at, value, depth = pending.pop()
        seen += 1
        if seen > MAX_VALUES:
            yield Flaw(pointer="", detail=f"has more than {MAX_VALUES} values")
            return
        if isinstance(value, str) and (detail := _text_flaw(value)):
            yield Flaw(pointer=at, detail=detail)
        elif isinstance(value, float) and not math.isfinite(value):
            yield Flaw(pointer=at, detail="is a number too large to be carried")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield Flaw(pointer=at, detail="is a whole number of more than 64 bits; send it as a string")
        elif isinstance(value, (dict, list)) and value:
            if depth > MAX_DEPTH:
                yield Flaw(pointer=at, detail=f"is nested deeper than {MAX_DEPTH} levels")
                continue
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in pairs:
                if isinstance(key, str) and (detail := _text_flaw(key)):
                    yield Flaw(pointer=at, detail=f"a name of a field {detail}")
                else:
                    pending.append((f"{at}/{escape(key)}", child, depth + 1))


def _text_flaw(text: str) -> str:
    found = _UNSTORABLE.search(text)
    if found is None:
        return ""
    return "holds the character NUL, which cannot be stored" if found[0] == "\x00" else "holds half of a surrogate pair"
