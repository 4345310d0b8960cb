"""What a condition of tasks.conditions is made of; `str` of each part is its text in one canonical form. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

Literal = str | int | float | bool | None

PREFIXES = ("not", "exists", "any", "all")
RESERVED = frozenset(
    [*PREFIXES, "and", "or", "in", "contains", "starts_with", "ends_with", "true", "false", "null"]
)  # a path begins with one of these only as ["in"]
NAME = re.compile("[A-Za-z_][A-Za-z0-9_-]*")


class Operator(StrEnum):
    """What stands between a path and a literal."""

    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


ORDERS = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)


class Joint(StrEnum):
    """What joins conditions."""

    AND = "and"
    OR = "or"


class Quantifier(StrEnum):
    """How many elements of a list must fit."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """A place in a JSON value: names of fields, indexes of elements, None for every element; a name comes first."""

    steps: tuple[str | int | None, ...]

    @property
    def root(self) -> str:
        """The name it begins with."""
        return str(self.steps[0])

    def __str__(self) -> str:
        first, *others = self.steps
        bare = isinstance(first, str) and NAME.fullmatch(first) and first not in RESERVED
        return "".join([str(first) if bare else _bracketed(first), *map(_shown, others)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A value of the path with a literal; a tuple of literals for `in`, and only there."""

    path: Path
    operator: Operator
    operand: Literal | tuple[Literal, ...]

    def __str__(self) -> str:
        if isinstance(self.operand, tuple):
            return f"{self.path} {self.operator} [{', '.join(map(_written, self.operand))}]"
        return f"{self.path} {self.operator} {_written(self.operand)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exists:
    """Whether the path leads anywhere."""

    path: Path

    def __str__(self) -> str:
        return f"exists {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantified:
    """Whether any or all elements of the list at the path meet a condition, whose paths begin at the element."""

    quantifier: Quantifier
    path: Path
    inner: "Node"

    def __str__(self) -> str:
        return f"{self.quantifier} {self.path} ({self.inner})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """The opposite."""

    inner: "Node"

    def __str__(self) -> str:
        return f"not ({self.inner})" if isinstance(self.inner, Joined) else f"not {self.inner}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Two or more conditions with the same word between them."""

    joint: Joint
    terms: "tuple[Node, ...]"

    def __str__(self) -> str:
        return f" {self.joint} ".join(map(self._term, self.terms))

    def _term(self, term: "Node") -> str:
        looser = isinstance(term, Joined) and not (self.joint is Joint.OR and term.joint is Joint.AND)
        return f"({term})" if looser else str(term)


Node = Comparison | Exists | Quantified | Not | Joined


def roots(node: Node) -> Iterator[str]:
    """The names that the paths begin with; not of those that begin at an element of a list."""
    match node:
        case Joined(terms=terms):
            for term in terms:
                yield from roots(term)
        case Not(inner=inner):
            yield from roots(inner)
        case Comparison(path=path) | Exists(path=path) | Quantified(path=path):
            yield path.root
        case _:
            assert_never(node)


def _shown(step: str | int | None) -> str:
    return f".{step}" if isinstance(step, str) and NAME.fullmatch(step) else _bracketed(step)


def _bracketed(step: str | int | None) -> str:
    return "[*]" if step is None else f"[{_written(step)}]"


def _written(literal: object) -> str:
    return json.dumps(literal, ensure_ascii=False)
