"""What is wrong with a document, in words: every flaw by its place, with the nearest right word. Pure."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tasks.errors import Flaw
from tasks.values import MAX_FLAWS, escape

MEANT = {
    "nsfw": "moderation",
    "ocr": "text",
    "faces": "face",
    "centre": "center",
    "hash": "phash",
    "vector": "embedding",
}


def nearest(word: str, known: Iterable[str], meant: Mapping[str, str] = MappingProxyType({})) -> str:
    """A hint such as "; did you mean 'steps'?", or nothing if no known word is near; `meant` knows other names."""
    lower = word[:100].lower()
    found = [meant[lower]] if meant.get(lower) in (known := list(known)) else []
    found = found or difflib.get_close_matches(lower, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def flaws_of(exc: ValidationError, model: type[BaseModel], at: str) -> list[Flaw]:
    """What pydantic found, as our flaws; an unknown field names the nearest right one."""
    errors = exc.errors(include_url=False)[:MAX_FLAWS]
    return [_flaw(error, model, at) for error in errors]


def unknown_fields(at: str, given: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Flaw]:
    """A flaw for every field of `given` that is not known."""
    for field in given:
        if field not in known:
            hint = nearest(field, known) or f"; there are: {listed(known)}"
            yield Flaw(pointer=f"{at}/{escape(field)}", detail=f"unknown field{hint}")


def _flaw(error: ErrorDetails, model: type[BaseModel], at: str) -> Flaw:
    path = [
        part
        for part in error["loc"]
        if not (isinstance(part, str) and part.startswith(("function-", "tagged-", "constrained-")))
    ]
    pointer = "".join(f"/{escape(part)}" for part in path)
    if error["type"] == "extra_forbidden" and path:
        known = list(_fields_of(_model_at(model, path[:-1])))
        hint = nearest(str(path[-1]), known) or (f"; there are: {listed(known)}" if known else "")
        return Flaw(pointer=at + pointer, detail=f"unknown field{hint}")
    hint = ""
    if error["type"] in ("enum", "literal_error") and isinstance(error["input"], str):
        hint = nearest(error["input"], re.findall(r"'([^']+)'", error["ctx"]["expected"]), MEANT)
    return Flaw(pointer=at + pointer, detail=error["msg"].removeprefix("Value error, ") + hint)


def _model_at(model: type[BaseModel], path: list[int | str]) -> type[BaseModel]:
    """The model that stands at this place in another one, through lists and optionals."""
    for part in path:
        if isinstance(part, str) and part in (fields := _fields_of(model)):
            model = next(_models_in(fields[part].annotation), model)
    return model


def _fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by the names that a document has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def listed(words: Iterable[str]) -> str:
    """The words with commas between."""
    return ", ".join(words)
