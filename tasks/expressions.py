"""Expressions in `{{…}}`, such as `{{steps.look.labels[0].name}}`: JMESPath over what a step may speak of. Pure.

JMESPath (jmespath.org) has no loops, no assignments and no calls but of its own functions: it selects. `{{{{` stands
for two braces. Names with a dash need no quotes.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError

from storage.model import Json
from tasks.errors import Flaw, TasksError
from tasks.flaws import listed, nearest
from tasks.values import MAX_FLAWS, escape

MAX_EXPRESSION = 500
MAX_PLACES = 200
MAX_FILLED_BYTES = 262_144

_PLACE = re.compile(r"\{\{\{\{|\{\{(.*?)\}\}|\{\{", re.DOTALL)
_SCHEDULE = re.compile(r"\s*schedule\.")  # filled by tasks.placeholders before, where there is a schedule
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|(?<=\.)[A-Za-z0-9_][A-Za-z0-9_-]*""", re.DOTALL
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_OF_ROOT = frozenset(
    {"or_expression", "and_expression", "not_expression", "comparator", "function_expression", "key_val_pair"}
    | {"multi_select_list", "multi_select_dict"}
)
_FIRST_OF_ROOT = frozenset(
    {"index_expression", "projection", "value_projection", "filter_projection", "flatten", "slice", "pipe"}
)


class ExpressionFailed(TasksError):
    """An expression gives nothing, or nothing that can be filled in; `why` is public."""

    def __init__(self, expression: str, why: str) -> None:
        super().__init__(f"{{{{{expression}}}}}: {why}")
        self.expression = expression
        self.why = why


def flaws(value: Json, *, at: str, steps: Collection[str], roots: Collection[str]) -> list[Flaw]:
    """What is wrong with the expressions in a value, MAX_FLAWS at most; they may speak of these roots and steps."""
    found = (
        Flaw(pointer=pointer, detail=detail)
        for count, (pointer, expression) in enumerate(_places(at, value))
        for detail in _flaws(expression, count, steps, roots)
    )
    return list(islice(found, MAX_FLAWS))


def roots_of(value: Json) -> set[str]:
    """What the expressions in a value speak of, such as "steps" and "job"."""
    return {path[0] for path in _all_paths(value) if path}


def names(value: Json, root: str) -> set[str]:
    """What the expressions in a value name below a root: {"crm"} for `{{secrets.crm}}` and "secrets"."""
    return {path[1] for path in _all_paths(value) if len(path) > 1 and path[0] == root}


def render(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with its expressions filled in, in strings and not in names of fields.

    A string that is one expression alone becomes that value, whatever its type. What is filled in is not looked at
    again. Raises ExpressionFailed.
    """
    if isinstance(value, str):
        if "{{" not in value:
            return value
        whole = _PLACE.fullmatch(value)
        if whole is not None and whole[1] is not None and "{{" not in whole[1]:
            return _valued(whole[1], scope)
        return _PLACE.sub(lambda found: _text(found, scope), value)
    if isinstance(value, dict):
        return {key: render(child, scope) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [render(child, scope) for child in value]
    return value


def render_url(text: str, scope: Mapping[str, Json]) -> str:
    """The URL with its expressions filled in, each encoded for its place; one at the beginning is a URL by itself.

    Raises ExpressionFailed, also for what does not fit into the name of a host.
    """
    made, position = "", 0
    for found in _PLACE.finditer(text):
        made += text[position : found.start()]
        filled = _text(found, scope)
        if found[1] is None or not made:
            made += filled
        elif _AUTHORITY.fullmatch(made):
            if not _HOST.fullmatch(filled):
                raise ExpressionFailed(found[1].strip(), "does not fit into the name of a host")
            made += filled
        else:
            made += quote(filled, safe="")
        position = found.end()
    return made + text[position:]


def _text(found: "re.Match[str]", scope: Mapping[str, Json]) -> str:
    if found[1] is None:
        return "{{"  # written as four braces, or never closed
    value = _valued(found[1], scope)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _valued(expression: str, scope: Mapping[str, Json]) -> Json:
    stripped = expression.strip()
    try:
        value = _compiled(stripped).search(dict(scope))
    except (JMESPathError, RecursionError) as exc:
        raise ExpressionFailed(stripped, _said(exc)) from exc
    except Exception as exc:  # functions of JMESPath raise what Python does, such as TypeError in sort()
        raise ExpressionFailed(stripped, f"cannot be worked out: {type(exc).__name__}") from exc
    if value is None:
        raise ExpressionFailed(stripped, _missing(stripped, scope))
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise ExpressionFailed(stripped, "gives no JSON value") from exc
    if size > MAX_FILLED_BYTES:
        raise ExpressionFailed(stripped, f"gives {size} bytes, and at most {MAX_FILLED_BYTES} are filled in")
    return value


def _missing(expression: str, scope: Mapping[str, Json]) -> str:
    """How far the way is there that the expression goes."""
    path = max(_paths(_compiled(expression).parsed), key=len, default=[])
    there: Json = dict(scope)
    for depth, name in enumerate(path):
        below = there.get(name) if isinstance(there, dict) else None
        if below is None:
            way = ".".join(path[:depth]) or "there"
            has = f" has: {listed(sorted(there)[:20])}" if isinstance(there, dict) and there else " has nothing"
            return f"nothing is there; {way}{has}" if depth else f"there is no {name!r} here;{has}"
        there = below
    return "gives null; write … || 'default' if that may be"


def _flaws(expression: str | None, count: int, steps: Collection[str], roots: Collection[str]) -> Iterator[str]:
    if count >= MAX_PLACES:
        if count == MAX_PLACES:
            yield f"has more than {MAX_PLACES} expressions"
        return
    if expression is None:
        yield "has '{{' without '}}'; for braces themselves write '{{{{'"
        return
    if len(expression) > MAX_EXPRESSION:
        yield f"has an expression of more than {MAX_EXPRESSION} characters"
        return
    if _SCHEDULE.match(expression):
        return
    stripped = expression.strip()
    try:
        paths = list(_paths(_compiled(stripped).parsed))
    except (JMESPathError, RecursionError) as exc:
        yield f"{{{{{stripped}}}}} is no expression: {_said(exc)}"
        return
    if not any(paths) or not all(paths):
        yield f"{{{{{stripped}}}}} must speak of one of: {listed(roots)}"
    for why in (_why_not(path, steps, roots) for path in paths if path):
        if why:
            yield f"{{{{{stripped}}}}} {why}"


def _why_not(path: list[str], steps: Collection[str], roots: Collection[str]) -> str:
    """Why an expression may not go this way; empty if it may."""
    if path[0] not in roots:
        hint = nearest(path[0], roots) or f"; there are: {listed(roots)}"
        return f"speaks of {path[0]!r}, which cannot stand here{hint}"
    if path[0] != "steps":
        return ""
    if len(path) == 1:
        return "must name the step whose result is meant"
    return "" if path[1] in steps else f"needs step {path[1]!r} in 'use'{nearest(path[1], steps)}"


def _places(at: str, value: Json) -> Iterator[tuple[str, str | None]]:
    """Pointer and text of every expression; None for one that is not closed."""
    if isinstance(value, str):
        for found in _PLACE.finditer(value) if "{{" in value else ():
            if found[0] != "{{{{":
                yield at, found[1]
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _places(f"{at}/{escape(key)}", child)
    elif isinstance(value, list | tuple):
        for position, child in enumerate(value):
            yield from _places(f"{at}/{position}", child)


def _all_paths(value: Json) -> Iterator[list[str]]:
    for _, expression in _places("", value):
        if expression is not None:
            try:
                yield from _paths(_compiled(expression.strip()).parsed)
            except (JMESPathError, RecursionError):
                continue  # `render` says so


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Any:
    return jmespath.compile(_TOKEN.sub(_quoted, expression))


def _quoted(found: "re.Match[str]") -> str:
    """A name as JMESPath takes it: one with a dash, or that begins with a digit, in quotes."""
    token = found[0]
    return token if token[0] in "'\"`" or _IDENTIFIER.fullmatch(token) else f'"{token}"'


def _paths(node: Mapping[str, Any]) -> Iterator[list[str]]:
    """The ways that an expression goes from the roots, as far as they are names; an empty one: from all at once."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield [node["value"]]
    elif kind == "subexpression":
        right = children[1]
        for path in _paths(children[0]):
            is_way = right["type"] == "field" and _is_way(children[0])
            yield [*path, right["value"]] if is_way else path
    elif kind in _FIRST_OF_ROOT:
        yield from _paths(children[0])
    elif kind in _OF_ROOT:
        for child in children:
            yield from _paths(child)
    elif kind in ("identity", "current"):
        yield []


def _is_way(node: Mapping[str, Any]) -> bool:
    return node["type"] == "field" or (node["type"] == "subexpression" and all(map(_is_way, node["children"])))


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200] if str(exc) else "it is nested too deeply"
