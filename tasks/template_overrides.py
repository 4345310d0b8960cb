"""What a caller may change of a template: which values it takes, and the places in the steps that it names. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from storage.model import Json
from tasks.params import Params

MAX_PLACES = 50
MAX_ENUM = 32
MAX_ITEMS = 50
MAX_TEXT = 1000  # characters of a value, unless the override says otherwise

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}

Pointer = Annotated[str, Field(min_length=2, max_length=500, pattern="^/")]


def _told_once(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """The value as one of several types. What it is not is told once, at its place, and not for each of the types."""
    try:
        return read(value)
    except ValidationError as exc:
        raise ValueError(f"cannot be {_shown(value)}") from exc


Scalar = Annotated[str | int | float, WrapValidator(_told_once)]


class Override(Params):
    """One thing that a caller may change: which values it takes, and where in the steps they go."""

    description: Annotated[str, Field(max_length=500)] = ""
    type: Annotated[
        Literal["string", "integer", "number", "boolean"],
        Field(description="of its value; with `max_items`, of each value of a list"),
    ]
    enum: Annotated[
        list[Scalar] | None, Field(min_length=1, max_length=MAX_ENUM, description="the values that it may have")
    ] = None
    minimum: Annotated[float | int | None, Field(allow_inf_nan=False, description="of numbers; needed there")] = None
    maximum: Annotated[float | int | None, Field(allow_inf_nan=False, description="of numbers; needed there")] = None
    max_length: Annotated[int | None, Field(ge=1, le=10_000, description=f"of text; default {MAX_TEXT}")] = None
    max_items: Annotated[
        int | None, Field(ge=1, le=MAX_ITEMS, description="it is a list of 1 to so many different values")
    ] = None
    default: Annotated[
        bool | str | int | float | list[str | int | float] | None,
        WrapValidator(_told_once),
        Field(description="put in where the caller says nothing; without one the steps stay as they stand"),
    ] = None
    at: Annotated[
        list[Pointer],
        Field(max_length=MAX_PLACES, description="JSON pointers into the steps, where the value is put"),
    ] = []  # noqa: RUF012 - pydantic copies it
    append: Annotated[
        list[Pointer],
        Field(max_length=MAX_PLACES, description="JSON pointers to texts in the steps, to which the value is added"),
    ] = []  # noqa: RUF012 - as above
    repeat: Annotated[
        Pointer | None,
        Field(description="JSON pointer to an element of a list, which is made once for each value of this list"),
    ] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for flaw in (*_value_flaws(self), *_place_flaws(self)):
            raise ValueError(flaw)
        if self.default is not None and (why := unfit(self, self.default)) is not None:
            raise ValueError(f"its default {why}")
        return self

    @property
    def places(self) -> list[str]:
        """All the places that it changes."""
        return [*self.at, *self.append]


def unfit(override: Override, value: Json) -> str | None:
    """What is wrong with a value for it, such as "must be at most 100"; None if nothing is."""
    if override.max_items is None:
        return _unfit(override, value)
    if not isinstance(value, list) or not 1 <= len(value) <= override.max_items:
        return f"must be a list of 1 to {override.max_items} values"
    for one in value:
        if (why := _unfit(override, one)) is not None:
            return f"holds {_shown(one)}, which {why}"
    if len({repr(one) for one in value}) < len(value):
        return "must hold no value twice"
    return None


def from_text(override: Override, text: str) -> Json:
    """The value that a text stands for, as a query has it: a list's values have commas between.

    A text that stands for none is returned as it is: `unfit` says what is wrong with it.
    """
    if override.max_items is not None:
        return [_from_text(override.type, part) for part in text.split(",")]
    return _from_text(override.type, text)


def extremes(override: Override) -> list[Json]:
    """Values at the edges of what it takes; none for free text, which has no edges."""
    single = _extremes(override)
    if override.max_items is None or not single:
        return single
    longest = _spread(override)
    return [[one] for one in single] + ([longest] if len(longest) > 1 else [])


def _value_flaws(one: Override) -> Iterator[str]:
    """What does not go together in what is said of its values."""
    is_number, bounds = one.type in ("integer", "number"), (one.minimum, one.maximum)
    if (one.minimum is not None or one.maximum is not None) and (not is_number or one.enum is not None):
        yield "minimum and maximum are of numbers without an enum"
    elif is_number and one.enum is None:
        yield from _bound_flaws(one.type, *bounds)
    if one.max_length is not None and (one.type != "string" or one.enum is not None):
        yield "max_length is of text without an enum"
    if one.type == "boolean" and (one.enum is not None or one.max_items is not None):
        yield "true and false need neither an enum nor a list"
    if len({repr(value) for value in one.enum or ()}) < len(one.enum or ()):
        yield "a value of the enum stands there twice"
    for value in one.enum or ():
        if (words := _type_flaw(one.type, value)) is not None:
            yield f"the enum holds {_shown(value)}, which must be {words}"


def _place_flaws(one: Override) -> Iterator[str]:
    """What does not go together in what is said of its places."""
    if not one.places:
        yield "give the places in the steps that it changes, as 'at' or 'append'"
    if len(set(one.places)) < len(one.places):
        yield "a place stands there twice"
    if one.repeat is not None and one.max_items is None:
        yield "'repeat' makes one element for each value of a list: give max_items"
    if one.append and one.max_items is not None and one.repeat is None:
        yield "a list cannot be added to a text, unless 'repeat' makes an element for each value"
    if (one.append or one.repeat is not None) and one.default is None:
        yield "'append' and 'repeat' need a default"


def _bound_flaws(kind: str, minimum: float | None, maximum: float | None) -> Iterator[str]:
    if minimum is None or maximum is None:
        yield "a number needs a minimum and a maximum, or an enum"
    elif minimum > maximum:
        yield "the minimum is above the maximum"
    elif kind == "integer" and not all(float(one).is_integer() for one in (minimum, maximum)):
        yield "the bounds of a whole number are whole numbers"


def _type_flaw(kind: str, value: Json) -> str | None:
    """What a value is not; None if it is of the type."""
    types, words = _TYPES[kind]
    fits = isinstance(value, types) and (isinstance(value, bool) == (kind == "boolean"))
    return None if fits else words


def _unfit(override: Override, value: Json) -> str | None:
    if (words := _type_flaw(override.type, value)) is not None:
        return f"must be {words}"
    if override.enum is not None:
        return None if value in override.enum else f"must be one of {', '.join(map(str, override.enum))}"
    if override.type in ("integer", "number"):
        low, high = _bounds(override)
        return None if low <= value <= high else f"must be from {_plain(low)} to {_plain(high)}"
    most = override.max_length or MAX_TEXT
    if override.type == "string" and len(value) > most:
        return f"must have at most {most} characters"
    return None


def _shown(value: Json) -> str:
    return json.dumps(value)[:40]


def _plain(bound: float) -> str:
    return json.dumps(int(bound) if float(bound).is_integer() else bound)


def _from_text(kind: str, text: str) -> Json:
    if kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _extremes(override: Override) -> list[Json]:
    if override.enum is not None:
        return list(override.enum)
    if override.type == "boolean":
        return [False, True]
    return [] if override.type == "string" else _distinct([_number(override, 0), _number(override, 1)])


def _spread(override: Override) -> list[Json]:
    """As many different values as a list of it may hold."""
    most = override.max_items or 1
    if override.enum is not None:
        return list(override.enum[:most])
    return _distinct([_number(override, place / max(1, most - 1)) for place in range(most)])


def _bounds(override: Override) -> tuple[float, float]:
    assert override.minimum is not None, "numbers have bounds"
    assert override.maximum is not None, "numbers have bounds"
    return override.minimum, override.maximum


def _number(override: Override, share: float) -> int | float:
    """So far between its bounds, 0 to 1; neither rounding nor an overflow leads out of them."""
    low, high = _bounds(override)
    value = low * (1 - share) + high * share
    return min(max(int(value), int(low)), int(high)) if override.type == "integer" else min(max(value, low), high)


def _distinct(values: Sequence[Json]) -> list[Json]:
    return list(dict.fromkeys(values))
