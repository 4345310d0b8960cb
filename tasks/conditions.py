"""Conditions on a JSON value, such as `moderation.nsfw > 0.8`: held, not held, or undecided. Pure.

What is missing never counts as false: it leaves a condition undecided, unless the rest of it decides (Kleene's strong
three-valued logic: Introduction to Metamathematics, 1952, section 64). The language is told in docs/conditions.md.
"""

import math
import operator as python
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from storage.model import Json
from tasks.condition_text import MAX_NESTING, MAX_TEXT, ConditionInvalid, read
from tasks.condition_tree import (
    ORDERS,
    Comparison,
    Exists,
    Joined,
    Joint,
    Literal,
    Node,
    Not,
    Operator,
    Path,
    Quantified,
    Quantifier,
    roots,
)
from tasks.errors import TasksError

__all__ = [
    "MAX_COMPARISONS",
    "MAX_ELEMENTS",
    "MAX_NESTING",
    "MAX_TEXT",
    "Condition",
    "ConditionInvalid",
    "Undecided",
    "holds",
    "parse",
]

MAX_ELEMENTS = 10_000  # of lists, looked at to decide one condition
MAX_COMPARISONS = 100_000  # made for it: those of an `any` or `all` count once for each element

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.LESS: python.lt,
    Operator.AT_MOST: python.le,
    Operator.MORE: python.gt,
    Operator.AT_LEAST: python.ge,
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
    Operator.CONTAINS: python.contains,
}


class Undecided(TasksError):
    """The condition neither holds nor fails: what stands at `path` is missing, or of a type that does not fit."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"'{path}' {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A parsed condition: `text` as it was given; `str` of it is its canonical form, which may be longer."""

    text: str
    tree: Node

    @property
    def roots(self) -> frozenset[str]:
        """The first names of its paths: fields that the value should have."""
        return frozenset(roots(self.tree))

    def __str__(self) -> str:
        return str(self.tree)


def parse(text: str) -> Condition:
    """Read a condition; raises ConditionInvalid, which says where it is wrong and what to write instead."""
    return Condition(text=text, tree=read(text))


def holds(condition: Condition, value: Json) -> bool:
    """Whether the value meets the condition; raises Undecided, named for the first path that leaves it open."""
    outcome = _outcome(condition.tree, _Found(value=value, place=()), _Looks())
    if isinstance(outcome, Undecided):
        raise outcome
    return outcome


_Outcome = bool | Undecided


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A value and its place in the whole; `walked` counts the steps of a path that led there."""

    value: Json
    place: tuple[str | int | None, ...]
    walked: int = 0

    def onward(self, step: str | int, value: Json) -> "_Found":
        return _Found(value=value, place=(*self.place, step), walked=self.walked + 1)

    def undecided(self, detail: str) -> Undecided:
        return Undecided(str(Path(steps=self.place)), detail)


@dataclass(kw_only=True, slots=True)
class _Looks:
    """How much may still be looked at."""

    elements: int = MAX_ELEMENTS
    comparisons: int = MAX_COMPARISONS

    def at_elements(self, at: _Found) -> None:
        self.elements -= len(at.value)
        if self.elements < 0:
            raise at.undecided(f"has too many elements: a condition looks at {MAX_ELEMENTS} at most")

    def at_path(self, at: _Found) -> None:
        self.comparisons -= 1
        if self.comparisons < 0:
            raise at.undecided(f"comes too late: a condition makes {MAX_COMPARISONS} comparisons at most")


def _outcome(node: Node, at: _Found, looks: _Looks) -> _Outcome:
    match node:
        case Joined(joint=joint, terms=terms):
            outcomes = (_outcome(term, at, looks) for term in terms)
            return _all(outcomes) if joint is Joint.AND else _any(outcomes)
        case Not(inner=inner):
            return _not(_outcome(inner, at, looks))
        case Exists(path=path):
            return any(isinstance(found, _Found) for found in _walk(path.steps, at, looks))
        case Comparison():
            return _any(_compared(found, node, looks) for found in _walk(node.path.steps, at, looks))
        case Quantified(quantifier=quantifier, path=path, inner=inner):
            elements = _walk((*path.steps, None), at, looks)
            outcomes = (_outcome(inner, one, looks) if isinstance(one, _Found) else one for one in elements)
            return _all(outcomes) if quantifier is Quantifier.ALL else _any(outcomes)
        case _:
            assert_never(node)


def _not(outcome: _Outcome) -> _Outcome:
    return outcome if isinstance(outcome, Undecided) else not outcome


def _any(outcomes: Iterable[_Outcome]) -> _Outcome:
    undecided = None
    for outcome in outcomes:
        if outcome is True:
            return True
        if undecided is None and isinstance(outcome, Undecided):
            undecided = outcome
    return undecided or False


def _all(outcomes: Iterable[_Outcome]) -> _Outcome:
    return _not(_any(map(_not, outcomes)))


def _walk(steps: Sequence[str | int | None], start: _Found, looks: _Looks) -> Iterator[_Found | Undecided]:
    """What a path leads to, in the order of the value; what is not there is Undecided."""
    looks.at_path(start)
    pending: list[_Found | Undecided] = [_Found(value=start.value, place=start.place)]
    while pending:
        at = pending.pop()
        if isinstance(at, Undecided) or at.walked == len(steps):
            yield at
            continue
        step = steps[at.walked]
        pending += reversed(_elements(at, looks)) if step is None else [_child(at, step)]


def _elements(at: _Found, looks: _Looks) -> Sequence[_Found | Undecided]:
    if not isinstance(at.value, list | tuple):
        return [at.undecided(f"is {_type(at.value)} and not a list")]
    looks.at_elements(at)
    return [at.onward(index, element) for index, element in enumerate(at.value)]


def _child(at: _Found, step: str | int) -> _Found | Undecided:
    value = at.value
    if isinstance(step, str) and isinstance(value, dict) and step in value:
        return at.onward(step, value[step])
    if isinstance(value, list | tuple):
        if isinstance(step, int) and -len(value) <= step < len(value):
            return at.onward(step, value[step])
        if step == "count":
            return at.onward(step, len(value))
    return at.onward(step, None).undecided("is not in the result")


def _compared(found: _Found | Undecided, comparison: Comparison, looks: _Looks) -> _Outcome:
    if isinstance(found, Undecided):
        return found
    value, operator, operand = found.value, comparison.operator, comparison.operand
    kind = _type(value)
    if kind == _STRANGE:
        return found.undecided(f"is {kind}")
    if isinstance(operand, tuple):
        return any(value == one and kind == _type(one) for one in operand)
    if operator in (Operator.EQUAL, Operator.UNEQUAL):
        return _same(value, operand) is (operator is Operator.EQUAL)
    if operator is Operator.CONTAINS and isinstance(value, list | tuple):
        looks.at_elements(found)
        return any(_same(element, operand) for element in value)
    if kind == _type(operand) and (kind == "a string" or operator in ORDERS):
        return bool(_COMPARE[operator](value, operand))  # NumPy's floats are floats, its booleans are none
    return found.undecided(f"is {kind}, which cannot be compared by {operator} with {_type(operand)}")


def _same(value: Json, literal: Literal) -> bool:
    return _type(value) == _type(literal) and bool(value == literal)


_STRANGE = "no value of JSON"


def _type(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case float() if math.isnan(value):
            return _STRANGE
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return _STRANGE
