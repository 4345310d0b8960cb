"""The places in a schedule's document that each firing fills, such as `{{schedule.fire_time}}`. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from storage.model import Json
from tasks.errors import Flaw
from tasks.flaws import nearest
from tasks.values import MAX_FLAWS, escape

_PREFIX = "schedule."
_PLACE = re.compile(r"\{\{[ \t]*(schedule\.[^{}]*)\}\}")  # any other {{…}} belongs to somebody else


def render(document: Json, values: Mapping[str, str]) -> Json:
    """The JSON value with every place whose name is in `values` filled, in strings and not in names of fields.

    What is filled in is not looked at again; a name that is not in `values` stays as it stands.
    """
    if isinstance(document, str):
        return _PLACE.sub(lambda found: values.get(found[1].strip(), found[0]), document)
    if isinstance(document, dict):
        return {key: render(child, values) for key, child in document.items()}
    if isinstance(document, list | tuple):
        return [render(child, values) for child in document]
    return document


def unknown(document: Json, known: Collection[str]) -> list[Flaw]:
    """Every place whose name is not known, with the nearest that is; MAX_FLAWS at most."""
    flaws = (
        Flaw(pointer=at, detail=f"there is no {{{{{name[:64]}}}}}{_hint(name, known)}")
        for at, name in _places("", document)
        if name not in known
    )
    return list(islice(flaws, MAX_FLAWS))


def has_any(document: Json) -> bool:
    """Whether anything is to be filled in."""
    return next(_places("", document), None) is not None


def _places(at: str, document: Json) -> Iterator[tuple[str, str]]:
    """Pointer and name of every place, such as ("/steps/a/url", "schedule.fire_time")."""
    if isinstance(document, str):
        for found in _PLACE.finditer(document):
            yield at, found[1].strip()
    elif isinstance(document, dict):
        for key, child in document.items():
            yield from _places(f"{at}/{escape(key)}", child)
    elif isinstance(document, list | tuple):
        for position, child in enumerate(document):
            yield from _places(f"{at}/{position}", child)


def _hint(name: str, known: Collection[str]) -> str:
    """Compared without what all of them begin with, which would make everything near."""
    near = nearest(name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in known])
    return near or f"; there are: {', '.join(sorted(known))}"
