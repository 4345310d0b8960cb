"""Reads the text of a condition, see docs/conditions.md. Pure."""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tasks.condition_tree import (
    NAME,
    ORDERS,
    PREFIXES,
    RESERVED,
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
)
from tasks.errors import TasksError

MAX_TEXT = 500  # characters
MAX_NESTING = 20  # parentheses, `not`, `any` and `all` within one another

_TOKEN = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<word>{NAME.pattern})
    | (?P<symbol>===|==|=~|!=|<=|>=|<>|&&|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_LITERALS: dict[str, Literal] = {"true": True, "false": False, "null": None}
_INSTEAD = {  # what other languages write, and what stands for it here
    **dict.fromkeys(["=", "===", "is", "equals", "eq"], "write =="),
    **dict.fromkeys(["<>", "ne"], "write !="),
    **dict.fromkeys(["&&", "&"], "write and"),
    **dict.fromkeys(["||", "|"], "write or"),
    **dict.fromkeys(["=~", "matches", "like"], "instead of a pattern write contains, starts_with or ends_with"),
    **dict.fromkeys(["None", "none", "nil"], "write null"),
    **dict.fromkeys(["'", '"'], "a string ends with the quote that it began with"),
    "has": "write exists before a path",
    "includes": "write contains",
    "!": "write not",
    ":": 'put what comes after it in parentheses, such as any objects (name == "person")',
}


class ConditionInvalid(TasksError):
    """The text is no condition; `position` counts characters from 1, `detail` says what to write instead."""

    def __init__(self, position: int, detail: str) -> None:
        super().__init__(f"character {position}: {detail}")
        self.position = position
        self.detail = detail


def read(text: str) -> Node:
    """The tree of a condition; raises ConditionInvalid."""
    if len(text) > MAX_TEXT:
        raise ConditionInvalid(MAX_TEXT + 1, f"a condition has at most {MAX_TEXT} characters")
    reader = _Reader(text)
    if reader.token.kind == "end":
        raise ConditionInvalid(1, "write a condition, such as moderation.nsfw > 0.8")
    found = reader.condition(0)
    if reader.token.kind != "end":
        raise reader.misplaced()
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    kind: str  # number, string, word, symbol or end
    text: str
    position: int


class _Reader:
    """The tokens of a text from left to right, and a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self.token = next(self._tokens)

    def condition(self, nesting: int) -> Node:
        return self._joined(Joint.OR, lambda: self._joined(Joint.AND, lambda: self._term(nesting)))

    def misplaced(self) -> ConditionInvalid:
        """What to say when a condition is whole and something comes after it."""
        if self.token.text == ")":
            return self._wrong("there is no ( for this )")
        return self._wrong(_hint(self.token, Joint) or "before another comparison comes and or or")

    def _joined(self, joint: Joint, term: Callable[[], Node]) -> Node:
        terms = [term()]
        while self._took(joint):
            terms.append(term())
        return terms[0] if len(terms) == 1 else Joined(joint=joint, terms=tuple(terms))

    def _term(self, nesting: int) -> Node:
        if nesting > MAX_NESTING:
            raise self._wrong(f"this is nested deeper than {MAX_NESTING} levels; write it flatter")
        if self._took("not"):
            return Not(inner=self._term(nesting + 1))
        if self._took("exists"):
            return Exists(path=self._path())
        if self.token.text in tuple(Quantifier):
            return self._quantified(nesting)
        return self._group(nesting) if self.token.text == "(" else self._comparison()

    def _quantified(self, nesting: int) -> Node:
        quantifier = Quantifier(self._take().text)
        start = self.token
        path = self._path()
        if path.steps[-1] is None:
            raise ConditionInvalid(start.position, f"{quantifier} takes the list itself; leave out the last [*]")
        if self.token.text != "(":
            raise self._wrong(_hint(self.token) or f'here comes (, such as in {quantifier} {path} (name == "person")')
        return Quantified(quantifier=quantifier, path=path, inner=self._group(nesting))

    def _group(self, nesting: int) -> Node:
        opened = self._take()
        inner = self.condition(nesting + 1)
        if self.token.kind == "end":
            raise ConditionInvalid(opened.position, "this ( is never closed; write ) where it ends")
        if not self._took(")"):
            raise self.misplaced()
        return inner

    def _comparison(self) -> Node:
        start = self.token
        path = self._path()
        given = self.token
        if given.text not in tuple(Operator):
            raise self._no_operator(start, path)
        operator = Operator(self._take().text)
        if operator is Operator.UNEQUAL and None in path.steps:
            raise ConditionInvalid(given.position, f"with [*] write 'not {path} == …' if no element may be equal")
        operand = self._literals() if operator is Operator.IN else self._operand(operator)
        return Comparison(path=path, operator=operator, operand=operand)

    def _no_operator(self, start: _Token, path: Path) -> ConditionInvalid:
        if self.token.text == "not":
            return self._wrong(f"write not before the path: 'not {path} …'")
        if hint := _hint(self.token, Operator):
            return self._wrong(hint)
        if self.token.kind == "word" and len(path.steps) == 1 and (hint := _hint(start, PREFIXES)):
            return ConditionInvalid(start.position, hint)
        return self._wrong(f"after a path comes one of {', '.join(Operator)}")

    def _path(self) -> Path:
        if self.token.kind in ("number", "string") or self.token.text in _LITERALS:
            raise self._wrong("the path comes first, such as in moderation.nsfw > 0.8")
        steps: list[str | int | None] = []
        if self.token.text == "[":
            start = self.token
            steps = [self._bracket()]
            if not isinstance(steps[0], str):
                raise ConditionInvalid(start.position, "a path begins with a name, such as objects[0]")
        elif self.token.kind == "word" and self.token.text not in RESERVED:
            steps = [self._take().text]
        else:
            raise self._wrong(_hint(self.token) or "here comes a path, such as moderation.nsfw")
        while self.token.text in (".", "["):
            steps.append(self._bracket() if self.token.text == "[" else self._field())
        return Path(steps=tuple(steps))

    def _field(self) -> str:
        self._take()
        if self.token.kind != "word":
            raise self._wrong('after . comes a name; write [0] for an element and ["…"] for any other name')
        return self._take().text

    def _bracket(self) -> str | int | None:
        self._take()
        given = self._take()
        step = _value(given) if given.kind in ("number", "string") else None
        if isinstance(step, float) or (step is None and given.text != "*"):
            raise ConditionInvalid(given.position, "within [ ] comes a whole number, * or a name in quotes")
        if not self._took("]"):
            raise self._wrong("here ] is missing")
        return step

    def _literals(self) -> tuple[Literal, ...]:
        if not self._took("["):
            raise self._wrong('after in comes a list, such as ["gone", "deleted"]')
        literals = [self._literal()]
        while self._took(","):
            literals.append(self._literal())
        if not self._took("]"):
            raise self._wrong("in a list comes , or ] after a literal")
        return tuple(literals)

    def _operand(self, operator: Operator) -> Literal:
        position = self.token.position
        operand = self._literal()
        if operator in ORDERS and (operand is None or isinstance(operand, bool)):
            raise ConditionInvalid(position, f"{operator} compares with a number or a string")
        if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH) and not isinstance(operand, str):
            raise ConditionInvalid(position, f"{operator} needs a string in quotes")
        return operand

    def _literal(self) -> Literal:
        if self.token.text in _LITERALS:
            return _LITERALS[self._take().text]
        if self.token.kind in ("number", "string"):
            return _value(self._take())
        if hint := _hint(self.token, _LITERALS):
            raise self._wrong(hint)
        if self.token.kind == "word":
            raise self._wrong(f'a string stands in quotes: "{self.token.text[:50]}"; a path only before the operator')
        raise self._wrong("here comes a number, a string in quotes, true, false or null")

    def _took(self, text: str) -> bool:
        """Whether this token comes next; it is left behind then."""
        if self.token.text != text:
            return False
        self._take()
        return True

    def _take(self) -> _Token:
        taken, self.token = self.token, next(self._tokens, self.token)
        return taken

    def _wrong(self, detail: str) -> ConditionInvalid:
        return ConditionInvalid(self.token.position, detail)


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield _Token(kind=str(match.lastgroup), text=match[0], position=match.start() + 1)
    yield _Token(kind="end", text="", position=len(text) + 1)


def _value(token: _Token) -> str | int | float:
    """What a number or a string stands for; single quotes are turned into JSON's."""
    text = token.text
    if text.startswith("'"):
        text = '"' + re.sub(r"\\.|\"", _requoted, text[1:-1], flags=re.DOTALL) + '"'
    try:
        value: str | int | float = json.loads(text)
    except ValueError as exc:
        detail = r"in a string only JSON's escapes are allowed, such as \n, \\ and \u00e9"
        raise ConditionInvalid(token.position, detail) from exc
    if isinstance(value, float) and math.isinf(value):
        raise ConditionInvalid(token.position, "this number is too large to be carried")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConditionInvalid(token.position, "this string holds half of a surrogate pair")
    return value


def _requoted(match: re.Match[str]) -> str:
    return {r"\'": "'", '"': r"\""}.get(match[0], match[0])


def _hint(token: _Token, words: Iterable[str] = ()) -> str:
    """What to write instead of the token, if that can be guessed, else nothing."""
    if instead := _INSTEAD.get(token.text):
        return instead
    near = difflib.get_close_matches(token.text[:100].lower(), list(words), n=1, cutoff=0.6)
    if token.kind == "word" and near and near[0] != token.text:
        return f"'{token.text[:50]}' means nothing here; did you mean '{near[0]}'?"
    return ""
