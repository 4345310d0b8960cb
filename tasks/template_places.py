"""The places in a template's steps that overrides name, and how values are put there. Pure."""

import copy
import json
import re
from collections.abc import Mapping, Sequence

from storage.model import Json
from tasks.template_overrides import Override

_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_ESCAPE = re.compile(r"~(?![01])")


def put(steps: Mapping[str, Json], overrides: Mapping[str, Override], given: Mapping[str, Json]) -> dict[str, Json]:
    """The steps with what was given, or else the defaults, in their places; all of it fits.

    Pointers speak of the steps as they stand before: elements are repeated last, those behind first.
    """
    made: dict[str, Json] = copy.deepcopy(dict(steps))
    chosen = [(one, given.get(name, one.default)) for name, one in overrides.items()]
    chosen = [(one, value) for one, value in chosen if value is not None]
    for one, value in chosen:
        if one.repeat is None:
            _put(made, one, value)
    repeated = [(one.repeat, one, value) for one, value in chosen if one.repeat is not None]
    for repeat, one, values in sorted(repeated, key=lambda each: _order(each[0]), reverse=True):
        *path, last = tokens(repeat)
        holder, position = _found(made, path), int(last)
        pattern = holder[position]
        holder[position : position + 1] = [_copy(pattern, repeat, one, value) for value in values]
    return made


def tokens(pointer: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901, section 4). Raises ValueError."""
    if not pointer.startswith("/") or _ESCAPE.search(pointer):
        raise ValueError(f"{pointer[:64]!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def place_flaw(steps: Json, override: Override) -> tuple[str, str] | None:
    """The first of its pointers that leads nowhere it may, and why; None if there is none.

    The last name of a pointer may be missing in its object: then it is a field that the value adds.
    """
    repeat = override.repeat
    for pointer in [*override.places, *([] if repeat is None else [repeat])]:
        try:
            *path, last = tokens(pointer)
            holder = _found(steps, path)
            standing = _at(holder, last) if isinstance(holder, list) else holder.get(last)
        except (LookupError, ValueError, AttributeError):
            return pointer, "leads nowhere in the steps"
        if not path or [*path, last][1] in ("kind", "use"):
            return pointer, "is nothing to be changed: only a step's parameters and its stop_when are"
        if pointer in override.append and not isinstance(standing, str):
            return pointer, "is no text to which the value could be added"
        if pointer == repeat and not isinstance(holder, list):
            return pointer, "is no element of a list"
        if repeat is not None and pointer != repeat and not within(pointer, repeat):
            return pointer, "lies outside the element that is repeated"
    return None


def within(pointer: str, other: str) -> bool:
    """Whether a pointer leads to something inside of what another leads to."""
    return pointer.startswith(other + "/")


def _put(made: Json, override: Override, value: Json) -> None:
    for pointer in override.at:
        *path, last = tokens(pointer)
        holder = _found(made, path)
        holder[int(last) if isinstance(holder, list) else last] = copy.deepcopy(value)
    for pointer in override.append:
        *path, last = tokens(pointer)
        holder = _found(made, path)
        key = int(last) if isinstance(holder, list) else last
        holder[key] = holder[key] + _text(value)


def _copy(pattern: Json, repeat: str, override: Override, value: Json) -> Json:
    """The element that stands at `repeat` with the value in its places."""
    box = {"element": copy.deepcopy(pattern)}
    inside = {
        "at": [f"/element{pointer.removeprefix(repeat)}" for pointer in override.at],
        "append": [f"/element{pointer.removeprefix(repeat)}" for pointer in override.append],
    }
    _put(box, override.model_copy(update=inside), value)
    return box["element"]


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _found(value: Json, path: Sequence[str]) -> Json:
    """What stands at the path. Raises LookupError, ValueError."""
    for token in path:
        value = _at(value, token)
    return value


def _at(holder: Json, token: str) -> Json:
    if isinstance(holder, list):
        if not _INDEX.fullmatch(token):
            raise KeyError(token)
        return holder[int(token)]
    if not isinstance(holder, dict):
        raise KeyError(token)
    return holder[token]


def _order(pointer: str) -> list[tuple[int, str]]:
    """By what places are sorted as they stand: the indexes of lists as numbers."""
    return [(int(token), "") if _INDEX.fullmatch(token) else (-1, token) for token in tokens(pointer)]
