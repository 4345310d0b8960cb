"""Expressions in `{{…}}`, such as `{{steps.look.labels[0].name}}`: JMESPath over what a step may speak of. Pure.

JMESPath (jmespath.org) has no loops, no assignments and no calls but of its own functions: it selects. The language is
told in docs/expressions.md.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from urllib.parse import quote

from storage.model import Json
from tasks.errors import Flaw
from tasks.expression_text import MAX_NESTING, MAX_TEXT, ExpressionInvalid, Place, Way, pieces, read, ways
from tasks.expression_value import MAX_FILLED_BYTES, MAX_WORK, ExpressionFailed, Work, text_of, valued
from tasks.flaws import listed, nearest
from tasks.values import MAX_FLAWS, escape

__all__ = [
    "MAX_FILLED_BYTES",
    "MAX_NESTING",
    "MAX_PLACES",
    "MAX_TEXT",
    "MAX_WORK",
    "ExpressionFailed",
    "flaws",
    "names",
    "render",
    "render_url",
    "roots_of",
]

MAX_PLACES = 200  # in one value

# What the roots have that always have the same (tasks.scope).
_FIELDS = {"job": ("id", "metadata", "created_at", "input"), "step": ("id", "name", "attempt")}
_ROOTS = frozenset({"steps", "job", "step", "secrets"})
_SCHEDULE = re.compile(r"schedule\s*\.")  # filled by tasks.placeholders before, where there is a schedule
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_DOTS = ("", ".", "..")


def flaws(value: Json, *, at: str, steps: Collection[str], roots: Collection[str]) -> list[Flaw]:
    """What is wrong with the expressions in a value, MAX_FLAWS at most; they may speak of these roots and steps."""
    found = (
        Flaw(pointer=pointer, detail=detail)
        for count, (pointer, place) in enumerate(islice(_places(at, value), MAX_PLACES + 1))
        for detail in _flaws(place, count, steps, roots)
    )
    return list(islice(found, MAX_FLAWS))


def roots_of(value: Json) -> set[str]:
    """What the expressions in a value speak of, such as "steps" and "job"."""
    return {str(way[0]) for way in _ways_in(value) if way}


def names(value: Json, root: str) -> set[str]:
    """What the expressions in a value name below a root: {"crm"} for `{{secrets.crm}}` and "secrets"."""
    return {str(way[1]) for way in _ways_in(value) if len(way) > 1 and way[0] == root}


def render(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with its expressions filled in, in strings and not in names of fields.

    A string that is one expression alone becomes that value, whatever its type. What is filled in is not looked at
    again. Raises ExpressionFailed.
    """
    return _rendered(value, _Filling(scope))


def render_url(text: str, scope: Mapping[str, Json]) -> str:
    """The URL with its expressions filled in, each encoded for its place; one at the beginning is (of) a URL as it is.

    Raises ExpressionFailed, also for what does not fit into the name of a host, and for a part of a path that would
    be empty or dots, and so lead elsewhere.
    """
    filling, made = _Filling(scope), ""
    odd: list[tuple[int, str]] = []  # where a path may have become another one
    for position, piece in enumerate(pieces(text) if "{{" in text else [text]):
        if isinstance(piece, str):
            made += piece
            continue
        filled = filling.text(piece)
        if position == 0:
            made += filled
        elif _AUTHORITY.fullmatch(made):
            if not _HOST.fullmatch(filled):
                raise ExpressionFailed(piece.expression, "does not fit into the name of a host")
            made += filled
        else:
            if filled in _DOTS and "?" not in made and "#" not in made:
                odd.append((len(made), piece.expression))
            made += quote(filled, safe="")
    for begin, expression in odd:
        if _segment(made, begin) in _DOTS:
            raise ExpressionFailed(expression, "leaves a part of the path empty, or only dots in it")
    return made


class _Filling:
    """Fills the places of one value, of which there may be so many, from a scope."""

    def __init__(self, scope: Mapping[str, Json]) -> None:
        self._scope = scope
        self._work = Work()
        self._places = 0

    def value(self, place: Place) -> Json:
        self._places += 1
        if place.flaw or self._places > MAX_PLACES:
            why = place.flaw or f"is one of more than {MAX_PLACES}, and no more are filled in"
            raise ExpressionFailed(place.expression, why)
        return valued(place.expression, self._scope, self._work)

    def text(self, place: Place) -> str:
        return text_of(self.value(place))


def _rendered(value: Json, filling: _Filling) -> Json:
    if isinstance(value, str):
        return _filled(value, filling) if "{{" in value else value
    if isinstance(value, dict):
        return {key: _rendered(child, filling) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(child, filling) for child in value]
    return value


def _filled(text: str, filling: _Filling) -> Json:
    parts = list(pieces(text))
    if len(parts) == 1 and isinstance(parts[0], Place):
        return filling.value(parts[0])
    return "".join(part if isinstance(part, str) else filling.text(part) for part in parts)


def _segment(url: str, position: int) -> str:
    """The part of the URL's path that stands at this position."""
    begin = url.rfind("/", 0, position) + 1
    return re.split("[/?#]", url[begin:], maxsplit=1)[0]


def _flaws(place: Place, count: int, steps: Collection[str], roots: Collection[str]) -> Iterator[str]:
    if count == MAX_PLACES:
        yield f"has more than {MAX_PLACES} expressions"
        return
    shown = f"{{{{{place.expression}}}}}"
    if place.flaw:
        yield f"has {place.flaw}" if place.flaw.startswith("'") else f"{shown} is {place.flaw}"
        return
    if _SCHEDULE.match(place.expression):
        return
    try:
        found = list(ways(read(place.expression)))
    except ExpressionInvalid as exc:
        yield f"{shown} is no expression: {exc}"
        return
    for why in (_why_not(way, place.expression, steps, roots) for way in found):
        if why:
            yield f"{shown} {why}"


def _why_not(way: Way, expression: str, steps: Collection[str], roots: Collection[str]) -> str:
    """Why an expression may not go this way; empty if it may."""
    there_are = f"there are: {listed(roots)}"
    if not way:
        return f"must begin with a name; {there_are}"
    root, name = str(way[0]), way[1] if len(way) > 1 else None
    if root not in roots:
        if root in _ROOTS:
            where = ": they go into headers and the query" if root == "secrets" else ""
            return f"speaks of {root!r}, which cannot stand here{where}; {there_are}"
        if root in steps:
            return f"speaks of {root!r}; did you mean 'steps.{root}'?"
        if f'"{root}"' in expression:
            return f"speaks of {root!r}; text is written '{root}'"
        return f"speaks of {root!r}, which is not there{nearest(root, roots) or f'; {there_are}'}"
    if root == "secrets" and name is None:
        return "must name the secret: secrets.name"
    if root == "steps" and isinstance(name, str) and name not in steps:
        return f"must name step {name!r} in 'use'{nearest(name, steps)}"
    if root in _FIELDS and name is not None and name not in _FIELDS[root]:
        hint = nearest(str(name), _FIELDS[root]) or f"; there are: {listed(_FIELDS[root])}"
        return f"speaks of {root}.{name}, which is not there{hint}"
    return ""


def _places(at: str, value: Json) -> Iterator[tuple[str, Place]]:
    """Pointer and text of every expression."""
    if isinstance(value, str):
        for piece in pieces(value) if "{{" in value else ():
            if isinstance(piece, Place):
                yield at, piece
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _places(f"{at}/{escape(key)}", child)
    elif isinstance(value, list | tuple):
        for position, child in enumerate(value):
            yield from _places(f"{at}/{position}", child)


def _ways_in(value: Json) -> Iterator[Way]:
    for _, place in _places("", value):
        if not place.flaw:
            try:
                yield from ways(read(place.expression))
            except ExpressionInvalid:
                continue  # `render` says so
