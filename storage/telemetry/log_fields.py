"""Takes a record of the standard library apart: an event's name and its fields, as the call's template names them.

`log.info("relay.sent steps=%s queue=%s of tenants", n, name)` is the event `relay.sent` with the fields `steps`, which
stays a number, and `queue`. The template is what is taken apart, never the finished text: a value cannot make a field.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from logging import LogRecord
from typing import Any

from storage.telemetry.log_masking import MASK, is_secret, masked

MOST_TEXT = 2000  # characters of a value
MOST_ITEMS = 50  # of a list or a mapping
MOST_DEPTH = 4

_EVENT = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+(?= |$)")
_FIELD = re.compile(r"(?:^| )([A-Za-z_]\w*)=")
_PLACE = re.compile(r"%(?:[-#0 +]*\d*(?:\.(?P<digits>\d+))?[diouxXeEfFgGcrsa]|%)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a call said: `text` stands between the event and its fields, or is all there is.

    `private` names the fields that were exceptions: their words are for operators.
    """

    event: str
    text: str
    fields: dict[str, Any]
    private: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A field of a template, or with an empty name the words before the first; `template` has `places` of arguments."""

    name: str
    template: str
    places: int
    bare: bool  # a single %s or its like and nothing else: the value keeps its type
    digits: int | None
    secret: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Template:
    event: str
    parts: tuple[_Part, ...]
    places: int


def told(record: LogRecord) -> Told:
    """The event and fields of a record; a call that is not in the form of an event is its text alone."""
    said: Any = record.msg
    if isinstance(said, Mapping):  # structlog's own loggers hand over what they have bound
        bound = {str(name): _field(str(name), value) for name, value in said.items() if name != "event"}
        return Told(event=_cut(masked(str(said.get("event", "")))), text="", fields=bound)
    template = _parsed(said) if isinstance(said, str) else None
    given: Any = record.args or ()
    if isinstance(given, Mapping):  # what logging makes of a single mapping
        given = (given,)
    if template is None or not isinstance(given, tuple) or len(given) != template.places:
        text = _cut(masked(record.getMessage()))
        return Told(event=text, text=text, fields={})
    return _filled(template, given)


def value_of(given: Any, depth: int = 0) -> Any:
    """The value as JSON can carry it: numbers, booleans and None as they are, all else as bounded text."""
    if type(given) is str:  # most are, and each line has several
        return _cut(masked(given))
    if isinstance(given, Enum):
        given = given.value
    if given is None or isinstance(given, int):
        return given
    if isinstance(given, float):
        return given if math.isfinite(given) else str(given)
    if isinstance(given, str):
        return _cut(masked(given))
    if depth < MOST_DEPTH and isinstance(given, Mapping):
        items = list(given.items())[:MOST_ITEMS]
        return {str(name): _field(str(name), value, depth + 1) for name, value in items}
    if depth < MOST_DEPTH and isinstance(given, list | tuple | set | frozenset):
        return [value_of(one, depth + 1) for one in list(given)[:MOST_ITEMS]]
    return _cut(masked(str(given)))


def _filled(template: _Template, given: tuple[Any, ...]) -> Told:
    fields: dict[str, Any] = {}
    private: list[str] = []
    text, place = "", 0
    for part in template.parts:
        taken = given[place : place + part.places]
        place += part.places
        if not part.name:
            text = _cut(masked(part.template % taken))
        elif part.secret:
            fields[part.name] = MASK
        elif part.bare:
            fields[part.name] = _bare(taken[0], part.digits)
        else:
            fields[part.name] = _cut(masked(part.template % taken))
        for one in taken:
            if isinstance(one, BaseException) and part.name and part.name not in private:
                private.append(part.name)
    return Told(event=template.event, text=text, fields=fields, private=frozenset(private))


def _bare(given: Any, digits: int | None) -> Any:
    value = value_of(given)
    return round(value, digits) if digits is not None and isinstance(value, float) else value


def _field(name: str, given: Any, depth: int = 0) -> Any:
    return MASK if is_secret(name) else value_of(given, depth)


@lru_cache(maxsize=4096)
def _parsed(message: str) -> _Template | None:
    """None if it is not in the form of an event."""
    found = _EVENT.match(message)
    if found is None:
        return None
    rest = message[found.end() :].removeprefix(" ")
    marks = list(_FIELD.finditer(rest))
    ends = [mark.start() for mark in marks[1:]] + [len(rest)]
    head = rest[: marks[0].start()] if marks else rest
    parts = [_part("", head)] if head else []
    parts += [_part(mark[1], rest[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)] if marks else []
    if any(part is None for part in parts):
        return None
    known = tuple(part for part in parts if part is not None)
    return _Template(event=found[0], parts=known, places=sum(part.places for part in known))


def _part(name: str, template: str) -> _Part | None:
    found = list(_PLACE.finditer(template))
    if "%" in _PLACE.sub("", template):
        return None
    places = [one for one in found if one[0] != "%%"]
    bare = len(places) == 1 and places[0][0] == template and template[-1] not in "rac"
    digits = int(places[0]["digits"]) if bare and places[0]["digits"] and template[-1] in "fF" else None
    return _Part(name=name, template=template, places=len(places), bare=bare, digits=digits, secret=is_secret(name))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
