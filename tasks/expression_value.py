"""What an expression gives, worked out within bounds, or why it gives nothing. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import TYPES_MAP, Functions
from jmespath.visitor import TreeInterpreter

from storage.model import Json
from tasks.errors import TasksError
from tasks.expression_text import ExpressionInvalid, Way, read, ways
from tasks.flaws import listed
from tasks.values import depth

MAX_FILLED_BYTES = 262_144  # by one expression
MAX_FILLED_DEPTH = 64
MAX_WORK = 1_000_000  # for all expressions that are filled in together, see Work
SHOWN = 20  # names of fields that a message has

_OF_VISIT = 10  # of a node of an expression; about a microsecond
_CHARACTERS = 8  # that count as one value
_MAKES = frozenset({"multi_select_list", "multi_select_dict", "flatten"})
_WORDS = {str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}


class ExpressionFailed(TasksError):
    """An expression gives nothing, or nothing that can be filled in; `why` is public: it tells names, not values."""

    def __init__(self, expression: str, why: str) -> None:
        super().__init__(f"{{{{{expression}}}}}: {why}")
        self.expression = expression
        self.why = why


class _TooMuch(Exception):
    """More would have to be looked at or made than is allowed."""


@dataclass(kw_only=True, slots=True)
class Work:
    """How much may still be looked at and made.

    A node that is visited counts ten, a value that is made or given to a function one, eight characters of text one.
    So no expression can write a text of gigabytes, or double a list thirty times.
    """

    left: int = MAX_WORK

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise _TooMuch

    def weigh(self, value: Json) -> None:
        """Count a value with all that is in it, each thing as often as it would be written."""
        pending = [value]
        while pending:
            one = pending.pop()
            if isinstance(one, str):
                self.spend(1 + len(one) // _CHARACTERS)
            elif isinstance(one, dict):
                self.spend(1 + len(one) + sum(map(len, one)) // _CHARACTERS)
                pending += one.values()
            elif isinstance(one, list | tuple):
                self.spend(1 + len(one))
                pending += one


def valued(expression: str, scope: Mapping[str, Json], work: Work) -> Json:
    """What the expression gives, never null. Raises ExpressionFailed."""
    value = _worked_out(expression, scope, work)
    if value is None:
        raise ExpressionFailed(expression, _missing(expression, scope))
    try:
        work.weigh(value)
        size = len(text_of(value).encode())
    except _TooMuch:
        raise ExpressionFailed(expression, "gives too much, with what the others beside it give") from None
    except (TypeError, ValueError, RecursionError):
        raise ExpressionFailed(expression, "gives what JSON cannot carry") from None
    if size > MAX_FILLED_BYTES:
        raise ExpressionFailed(expression, f"gives {size} bytes, and at most {MAX_FILLED_BYTES} are filled in")
    if depth(value, MAX_FILLED_DEPTH) > MAX_FILLED_DEPTH:
        raise ExpressionFailed(expression, f"gives more than {MAX_FILLED_DEPTH} levels of arrays and objects")
    return value


def text_of(value: Json) -> str:
    """A value as it stands within text. Raises TypeError and ValueError for what is no JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _worked_out(expression: str, scope: Mapping[str, Json], work: Work) -> Json:
    # What JMESPath says of values must not come further: they may be secrets. So nothing is raised `from` it.
    try:
        return _Interpreter(work).visit(read(expression), dict(scope))
    except ExpressionInvalid as exc:
        raise ExpressionFailed(expression, str(exc)) from exc
    except _TooMuch:
        raise ExpressionFailed(expression, "takes too long to work out, for what is there") from None
    except JMESPathTypeError as exc:
        wanted = listed(TYPES_MAP.get(one, one) for one in exc.expected_types)
        given = TYPES_MAP.get(exc.actual_type, exc.actual_type)
        raise ExpressionFailed(expression, f"{exc.function_name}() takes {wanted}, not {given}") from None
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        raise ExpressionFailed(expression, "compares or computes what does not go together") from None


class _Interpreter(TreeInterpreter):
    """JMESPath's own, which counts what it does. It inherits: there is no other way in."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._calls = Functions()

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._work.spend(_OF_VISIT)
        made = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKES:
            self._work.weigh(made)
        return made

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        self._work.weigh(arguments)
        if node["value"] == "join" and isinstance(arguments[0], str) and isinstance(arguments[1], list):
            self._work.spend(len(arguments[0]) * len(arguments[1]) // _CHARACTERS)
        return self._calls.call_function(node["value"], arguments)


def _missing(expression: str, scope: Mapping[str, Json]) -> str:
    """How far that is there to which the expression leads."""
    for way in ways(read(expression)):
        there: Json = dict(scope)
        for walked, step in enumerate(way):
            below = _below(there, step)
            if below is None:
                return f"nothing is there; {_stop(way[:walked], step, there)}"
            there = below
    return "gives null; write {{… || 'default'}} if that may be"


def _below(there: Json, step: str | int) -> Json:
    if isinstance(step, str):
        return there.get(step) if isinstance(there, dict) else None
    return there[step] if isinstance(there, list) and -len(there) <= step < len(there) else None


def _stop(way: Way, step: str | int, there: Json) -> str:
    name = _written(way)
    if isinstance(there, dict) and isinstance(step, str):
        if step in there:
            return f"{_written((*way, step))} is null"
        names = listed(str(one)[:64] for one in islice(there, SHOWN))
        more = ", …" if len(there) > SHOWN else ""
        return (f"{name} has: " if name else "there are: ") + names + more if there else f"{name or 'all'} is empty"
    if isinstance(there, list) and isinstance(step, int):
        return f"{name} has {len(there)} elements"
    if isinstance(there, list):
        return f"{name} is a list: take an element of it, such as {name}[0], or all of them with {name}[*]"
    return f"{name} is {_WORDS.get(type(there), 'an object')}"


def _written(way: Way) -> str:
    """A way as people write it."""
    made = ""
    for step in way:
        if isinstance(step, int):
            made += f"[{step}]"
        else:
            plain = step.replace("-", "").replace("_", "").isalnum() and step.isascii()
            made += ("." if made else "") + (step if plain else json.dumps(step, ensure_ascii=False))
    return made
