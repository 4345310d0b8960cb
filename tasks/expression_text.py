"""The text of expressions: where they stand in a string, and what JMESPath reads in them. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathError, LexerError, ParseError
from jmespath.functions import Functions

from tasks.errors import TasksError
from tasks.flaws import nearest

MAX_TEXT = 500  # characters between the braces
MAX_NESTING = 32  # levels of an expression

Node = dict[str, Any]  # of JMESPath: {"type", "value", "children"}
Way = tuple[str | int, ...]  # such as ("steps", "look", "labels", 0, "name")

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`"""
_TOKEN = re.compile(rf"""{_QUOTED}|[{{}}]|[^'"`{{}}]+|.""", re.DOTALL)
_NAME = re.compile(rf"(?P<quoted>{_QUOTED})|(?<=\.)[A-Za-z0-9_][A-Za-z0-9_-]*|[A-Za-z_][A-Za-z0-9_-]*", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNATURES: dict[str, Any] = {name: entry["signature"] for name, entry in Functions.FUNCTION_TABLE.items()}
_MEANT = {"and": "&&", "or": "||", "not": "!", "=": "=="}

_NEEDS_ALL = frozenset(
    {"or_expression", "and_expression", "not_expression", "comparator", "function_expression", "key_val_pair"}
    | {"multi_select_list", "multi_select_dict"}
)
_BEGINS = frozenset({"projection", "value_projection", "filter_projection", "flatten", "pipe"})


class ExpressionInvalid(TasksError):
    """The text is no expression; the message says where and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What stands between two braces and two braces; with a `flaw` it ends nowhere, or too late."""

    expression: str
    flaw: str = ""


def pieces(text: str) -> Iterator[str | Place]:
    """The text, cut at its expressions; four opening braces stand for two. After a flaw nothing follows."""
    position = 0
    while (begin := text.find("{{", position)) >= 0:
        if begin > position:
            yield text[position:begin]
        if text.startswith("{{{{", begin):
            yield "{{"
            position = begin + 4
            continue
        end = _end(text, begin + 2)
        if end is None or end - begin - 2 > MAX_TEXT:
            yield Place(expression=f"{text[begin + 2 : begin + 42].strip()}…", flaw=_endless(text, begin + 2))
            return
        yield Place(expression=text[begin + 2 : end].strip())
        position = end + 2
    if position < len(text):
        yield text[position:]


@lru_cache(maxsize=512)
def read(expression: str) -> Node:
    """An expression as a tree, whose functions are there and get as much as they take. Raises ExpressionInvalid."""
    if not expression:
        raise ExpressionInvalid("nothing stands between the braces")
    try:
        node: Node = jmespath.compile(_NAME.sub(_spelled, expression)).parsed  # type: ignore[assignment]
    except JMESPathError as exc:
        raise ExpressionInvalid(_why(exc, expression)) from exc
    except RecursionError as exc:
        raise ExpressionInvalid("it is nested too deeply") from exc
    _check(node)
    return node


def ways(node: Node) -> Iterator[Way]:
    """Where an expression looks, from the roots on and as far as names and indexes lead; (): at all of them."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield (node["value"],)
    elif kind in ("identity", "current"):
        yield ()
    elif kind in ("subexpression", "index_expression"):
        way, _ = _straight(node)
        if way and isinstance(way[0], str):
            yield way
        else:
            yield from ways(children[0])
    elif kind in _BEGINS:
        yield from ways(children[0])
    elif kind in _NEEDS_ALL:
        for child in children:
            yield from ways(child)


def _straight(node: Node) -> tuple[Way, bool]:
    """The names and indexes with which a node begins, and whether it is nothing else."""
    if node["type"] in ("field", "index"):
        return (node["value"],), True
    if node["type"] in _BEGINS:
        return _straight(node["children"][0])[0], False
    if node["type"] not in ("subexpression", "index_expression"):
        return (), False
    way: Way = ()
    for child in node["children"]:
        more, is_all = _straight(child)
        way = (*way, *more)
        if not is_all:
            return way, False
    return way, True


def _end(text: str, begin: int) -> int | None:
    """Where an expression ends: at two braces that are not within quotes and close nothing else."""
    depth, limit = 0, begin + MAX_TEXT + 2
    for token in _TOKEN.finditer(text, begin, limit):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            if depth == 0 and text.startswith("}}", token.start()):
                return token.start()
            depth = max(0, depth - 1)
    end = text.find("}}", begin, limit)  # a quote that is not closed: reading it says so
    return None if end < 0 else end


def _endless(text: str, begin: int) -> str:
    if text.find("}}", begin) < 0:
        return "'{{' without '}}'; for the braces themselves write '{{{{'"
    return f"longer than {MAX_TEXT} characters"


def _spelled(found: "re.Match[str]") -> str:
    """A name as JMESPath takes it: one with a dash, or that begins with a digit, in quotes."""
    token = found[0]
    if found["quoted"] is None:
        return token if _IDENTIFIER.fullmatch(token) else f'"{token}"'
    if token[0] == "`":  # JMESPath would take it for text, with a warning
        try:
            json.loads(token[1:-1].replace("\\`", "`"), parse_constant=_no_number)
        except ValueError:
            raise ExpressionInvalid(
                f"{token} at character {found.start() + 1} is no JSON; text is written '{token[1:-1]}'"
            ) from None
    return token


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _why(exc: JMESPathError, expression: str) -> str:
    kind = exc.token_type if isinstance(exc, ParseError) else None
    if not isinstance(exc, ParseError) or isinstance(exc, IncompleteExpressionError) or kind == "EOF":
        return "it ends where more must follow"
    at = _position(exc.lex_position, expression)
    if exc.msg.startswith("Quoted"):
        return "the name of a function has no quotes and no dash"
    if isinstance(exc, LexerError) and exc.message.startswith("Unclosed"):
        return f"the {expression[at - 1]} at character {at} is not closed"
    token = str(exc.token_value)[:20]
    hint = f"; did you mean {_MEANT[token]}?" if token in _MEANT else ""
    if kind == "NUMBER":
        hint = f"; a number is written `{token}`"
    return f"{token} at character {at} cannot stand there{hint}"


def _position(position: int, expression: str) -> int:
    """The character, from 1, of an expression as it was written, from a position in what JMESPath was given."""
    added = 0
    for found in _NAME.finditer(expression):
        if found["quoted"] is None and not _IDENTIFIER.fullmatch(found[0]) and found.start() + added < position:
            added += 2
    return max(0, position - added) + 1


def _check(node: Node) -> None:
    pending = [(node, 1)]
    while pending:
        one, level = pending.pop()
        if level > MAX_NESTING:
            raise ExpressionInvalid("it is nested too deeply")
        if one["type"] == "slice":
            if one["children"][2] == 0:
                raise ExpressionInvalid("the step of a slice cannot be 0")
            continue
        if one["type"] == "function_expression":
            _check_call(one["value"], one["children"])
        elif "expref" in (one["type"] if level == 1 else "", *(child["type"] for child in one["children"])):
            raise ExpressionInvalid("& stands only before what map, sort_by, min_by and max_by do")
        pending += [(child, level + 1) for child in one["children"]]


def _check_call(name: str, arguments: list[Node]) -> None:
    signature = _SIGNATURES.get(name)
    if signature is None:
        raise ExpressionInvalid(f"there is no function {name}(){nearest(name, _SIGNATURES)}")
    least = "at least " if signature and signature[-1].get("variadic") else ""
    if len(arguments) < len(signature) or (len(arguments) > len(signature) and not least):
        raise ExpressionInvalid(f"{name}() takes {least}{len(signature)} arguments, not {len(arguments)}")
    for position, argument in enumerate(arguments):
        wants = signature[min(position, len(signature) - 1)]["types"] == ["expref"]
        if wants != (argument["type"] == "expref"):
            needs = "needs & before it" if wants else "takes no &"
            raise ExpressionInvalid(f"argument {position + 1} of {name}() {needs}")
