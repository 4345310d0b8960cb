"""What conditions mean, what they say when they are wrong or cannot be decided, and that nothing else happens."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.conditions import (
    MAX_ELEMENTS,
    MAX_NESTING,
    MAX_TEXT,
    ConditionInvalid,
    Undecided,
    holds,
    parse,
)
from tasks.errors import TasksError

ROOT = Path(__file__).parents[2]
RESULT = {
    "moderation": {"nsfw": 0.85},
    "faces": [{"score": 0.9}, {"score": 0.7}],
    "quality": {"sharpness": 0.1, "count": "many"},
    "status": 404,
    "body": {"state": "gone", "total": None, "in": True, "odd key": {"é": 'o\'clock "x"'}, "two": 2.0},
    "labels": [{"name": "tench, a fish", "score": 0.5}, {"name": "cat", "score": 0.4}],
    "objects": [{"name": "person", "score": 0.5}, {"name": "dog", "score": 0.95}],
    "text": [{"text": "SALE today", "words": [{"w": "SALE", "p": 1}, {"w": "today", "p": 0.5}]}],
    "tags": ["a", "b", 3, True],
    "none": [],
    "ok": True,
    "not": 1,
}

DECIDED = {
    "moderation.nsfw >= 0.8": True,
    "moderation.nsfw > 0.85": False,
    "moderation.nsfw <= 0.85": True,
    "faces.count > 0 and quality.sharpness < 0.2": True,
    "faces.count == 2": True,
    "quality.count == 'many'": True,  # a key of that name goes first
    'faces["count"] == 2': True,
    "none.count == 0": True,
    'status == 404 or body.state in ["gone", "deleted"]': True,
    'status == 405 or body.state in ["here", "deleted"]': False,
    "status in [200, 404.0]": True,
    'status in ["404", true, null]': False,
    'not (labels[0].name == "cat")': True,
    'not labels[-1].name == "cat"': False,
    'labels[*].name contains "tench"': True,
    'labels[*].name contains "trout"': False,
    'objects[*].name contains "person"': True,
    'objects[*].name == "perso"': False,
    'labels[*].name in ["dog", "cat"]': True,
    "objects[*].score > 0.9": True,
    'any objects (name == "person" and score > 0.9)': False,
    'any objects (name == "dog" and score > 0.9)': True,
    "all objects (score > 0.4)": True,
    "all objects (score > 0.6)": False,
    "any none (x == 1)": False,
    "all none (x == 1)": True,
    "none[*].x == 1": False,
    'any text (any words (w == "SALE" and p == 1))': True,
    'any text[*].words (w == "today" and p == 1)': False,
    'text[0].text starts_with "SALE"': True,
    'text[0].text starts_with "sale"': False,
    'text[0].text ends_with "day"': True,
    'text[0].text contains "E t"': True,
    'tags contains "b"': True,
    "tags contains 3.0": True,
    "tags contains 1": False,  # true is no number
    "tags[*] == true": True,
    "body.total == null": True,
    "body.total != null": False,
    "exists body.total": True,
    "exists body.error": False,
    "exists body.error and body.error.code > 3": False,
    "exists tags.count and exists tags[3] and not exists tags[4]": True,
    "exists labels[*].score": True,
    "exists none[*]": False,
    "body.two == 2": True,
    "body.two != 2": False,
    "ok == 1": False,
    "ok in [1, 1.0]": False,
    'labels[-2].name starts_with "tench"': True,
    "ok != 1": True,
    "ok == true": True,
    'status == "404"': False,
    "body == null": False,
    "body.in == true": True,
    '["not"] == 1': True,
    "body[\"odd key\"]['é'] == 'o\\'clock \"x\"'": True,
    'body["odd key"]["\\u00e9"] ends_with "\\"x\\""': True,
    "status == -4.04e2 or status == 4.04E+2": True,
    "status > 1 or missing == 1": True,
    "missing == 1 or status > 1": True,
    "missing == 1 and status < 1": False,
    'body.state > "gond"': True,
    'body.state < "gond"': False,
    'body.state > "Z"': True,  # by code point
    "ok == true or ok == false and ok == false": True,  # and binds tighter than or
    "(ok == true or ok == false) and ok == false": False,
    "not ok == false and ok == true": True,  # not binds tighter than and
    "\tok\n==\r\ntrue ": True,
}

UNDECIDED = {
    "moderation.sexy > 0.8": "'moderation.sexy' is not in the result",
    "not moderation.sexy > 0.8": "'moderation.sexy' is not in the result",
    "a.b.c == 1 or d == 1": "'a' is not in the result",
    "status > 500 or d != 1": "'d' is not in the result",
    "status.code == 1": "'status.code' is not in the result",
    "body.count == 1": "'body.count' is not in the result",
    "labels[2].name == 'x'": "'labels[2]' is not in the result",
    "labels[-3].name == 'x'": "'labels[-3]' is not in the result",
    "labels.name == 'x'": "'labels.name' is not in the result",
    "status[0] == 1": "'status[0]' is not in the result",
    "status[*] == 1": "'status' is a number and not a list",
    "body[*] == 1": "'body' is an object and not a list",
    "any body.state (x == 1)": "'body.state' is a string and not a list",
    "all missing (x == 1)": "'missing' is not in the result",
    "all objects (score > 0.4 and area > 1)": "'objects[0].area' is not in the result",
    'any text (any words (w == "x" or q == 1))': "'text[0].words[0].q' is not in the result",
    "tags[*] > 5": "'tags[0]' is a string, which cannot be compared by > with a number",
    "status > '4'": "'status' is a number, which cannot be compared by > with a string",
    "ok < 1": "'ok' is a boolean, which cannot be compared by < with a number",
    "body.total >= 0": "'body.total' is null, which cannot be compared by >= with a number",
    "body <= 0": "'body' is an object, which cannot be compared by <= with a number",
    "status contains 4": "'status' is a number, which cannot be compared by contains with a number",
    "body.state contains 4": "'body.state' is a string, which cannot be compared by contains with a number",
    "tags starts_with 'a'": "'tags' is a list, which cannot be compared by starts_with with a string",
    "body['odd key'].x == 1": "'body[\"odd key\"].x' is not in the result",
    "body.odd-key == 1": "'body.odd-key' is not in the result",
    '["or"] == 1': "'[\"or\"]' is not in the result",
}

OPERATORS = "==, !=, <, <=, >, >=, in, contains, starts_with, ends_with"
INVALID = {
    "": "character 1: write a condition, such as moderation.nsfw > 0.8",
    " \n": "character 1: write a condition, such as moderation.nsfw > 0.8",
    "a": f"character 2: after a path comes one of {OPERATORS}",
    "a b": f"character 3: after a path comes one of {OPERATORS}",
    "a = 1": "character 3: write ==",
    "a === 1": "character 3: write ==",
    "a is 1": "character 3: write ==",
    "a <> 1": "character 3: write !=",
    "a == 1 && b == 2": "character 8: write and",
    "a == 1 || b == 2": "character 8: write or",
    "!a == 1": "character 1: write not",
    "a == None": "character 6: write null",
    'a =~ "b.*"': "character 3: instead of a pattern write contains, starts_with or ends_with",
    'text[0].text matches "x"': "character 14: instead of a pattern write contains, starts_with or ends_with",
    'a contans "x"': "character 3: 'contans' means nothing here; did you mean 'contains'?",
    'a startswith "x"': "character 3: 'startswith' means nothing here; did you mean 'starts_with'?",
    "a == 1 adn b == 2": "character 8: 'adn' means nothing here; did you mean 'and'?",
    "a == 1 AND b == 2": "character 8: 'AND' means nothing here; did you mean 'and'?",
    "(a == 1 adn b == 2)": "character 9: 'adn' means nothing here; did you mean 'and'?",
    "exsits a": "character 1: 'exsits' means nothing here; did you mean 'exists'?",
    "NOT a == 1": "character 1: 'NOT' means nothing here; did you mean 'not'?",
    "has body.error": "character 1: write exists before a path",
    "a == True": "character 6: 'True' means nothing here; did you mean 'true'?",
    "a == person": "character 6: a string stands in quotes: \"person\"; a path only before the operator",
    "a == ": "character 6: here comes a number, a string in quotes, true, false or null",
    "a == [1]": "character 6: here comes a number, a string in quotes, true, false or null",
    "a == .5": "character 6: here comes a number, a string in quotes, true, false or null",
    "a == 'b": "character 6: a string ends with the quote that it began with",
    'a == "\\x"': r"character 6: in a string only JSON's escapes are allowed, such as \n, \\ and \u00e9",
    "a == '\n'": r"character 6: in a string only JSON's escapes are allowed, such as \n, \\ and \u00e9",
    'a == "\\ud800"': "character 6: this string holds half of a surrogate pair",
    "a == 1e999": "character 6: this number is too large to be carried",
    "a == 1 2": "character 8: before another comparison comes and or or",
    "a == 01": "character 7: before another comparison comes and or or",
    "0 < a < 1": "character 1: the path comes first, such as in moderation.nsfw > 0.8",
    "true": "character 1: the path comes first, such as in moderation.nsfw > 0.8",
    "a > 0 < 1": "character 7: before another comparison comes and or or",
    "a not in [1]": "character 3: write not before the path: 'not a …'",
    "a[*].b != 1": "character 8: with [*] write 'not a[*].b == …' if no element may be equal",
    'a in "gone"': 'character 6: after in comes a list, such as ["gone", "deleted"]',
    "a in []": "character 7: here comes a number, a string in quotes, true, false or null",
    "a in [1 2]": "character 9: in a list comes , or ] after a literal",
    "a < null": "character 5: < compares with a number or a string",
    "a >= true": "character 6: >= compares with a number or a string",
    "a ends_with 5": "character 13: ends_with needs a string in quotes",
    "a. == 1": 'character 4: after . comes a name; write [0] for an element and ["…"] for any other name',
    "a.0 == 1": 'character 3: after . comes a name; write [0] for an element and ["…"] for any other name',
    "a.é == 1": 'character 3: after . comes a name; write [0] for an element and ["…"] for any other name',
    "a[b] == 1": "character 3: within [ ] comes a whole number, * or a name in quotes",
    "a[0.5] == 1": "character 3: within [ ] comes a whole number, * or a name in quotes",
    "a[0 == 1": "character 5: here ] is missing",
    "[0].a == 1": "character 1: a path begins with a name, such as objects[0]",
    "and": "character 1: here comes a path, such as moderation.nsfw",
    "a == 1 or": "character 10: here comes a path, such as moderation.nsfw",
    "(a == 1": "character 1: this ( is never closed; write ) where it ends",
    "a == 1)": "character 7: there is no ( for this )",
    "any a[*] (b == 1)": "character 5: any takes the list itself; leave out the last [*]",
    "any a: b == 1": "character 6: put what comes after it in parentheses, "
    'such as any objects (name == "person")',
    "all a b == 1": 'character 7: here comes (, such as in all a (name == "person")',
    "not " * 21 + "a == 1": "character 85: this is nested deeper than 20 levels; write it flatter",
    "(" * 21 + "a == 1" + ")" * 21: "character 22: this is nested deeper than 20 levels; write it flatter",
    "a" * 501: "character 501: a condition has at most 500 characters",
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), DECIDED.items())
def test_a_condition_holds_or_not(text: str, wanted: bool) -> None:
    assert holds(parse(text), RESULT) is wanted


@pytest.mark.parametrize(("text", "sentence"), UNDECIDED.items())
def test_what_is_missing_or_does_not_fit_is_named_and_never_false(text: str, sentence: str) -> None:
    with pytest.raises(Undecided) as caught:
        holds(parse(text), RESULT)
    assert str(caught.value) == sentence
    assert sentence == f"'{caught.value.path}' {caught.value.detail}"


@pytest.mark.parametrize(("text", "sentence"), INVALID.items())
def test_a_text_that_is_no_condition_is_told_where_and_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ConditionInvalid) as caught:
        parse(text)
    assert str(caught.value) == sentence
    assert sentence == f"character {caught.value.position}: {caught.value.detail}"


def test_every_example_of_the_documentation_is_a_condition() -> None:
    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    examples = re.findall(r"^\| `(.+?)` \|", page.split("| operator |")[0], re.MULTILINE)
    assert len(examples) > 10
    for example in examples:
        assert parse(example).roots


def test_both_errors_are_of_this_package() -> None:
    assert issubclass(ConditionInvalid, TasksError)
    assert issubclass(Undecided, TasksError)


def test_limits_are_reached_and_not_passed() -> None:
    assert holds(parse("not " * MAX_NESTING + "ok == true"), RESULT) is True
    assert holds(parse("(" * MAX_NESTING + "ok == true" + ")" * MAX_NESTING), RESULT) is True
    assert parse("a == 1".ljust(MAX_TEXT)).text.endswith(" ")


def test_roots_are_the_first_names_outside_of_elements() -> None:
    text = 'not (a.b > 1 or exists ["in"].x) and any c.d (name == "x" and all parts (size > 1)) and a.z == 1'
    assert parse(text).roots == {"a", "in", "c"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a[*] == 1", {"a": [0] * (MAX_ELEMENTS + 1)}),
        ("not a[*] == 1", {"a": [0] * (MAX_ELEMENTS + 1)}),
        ("a contains 1", {"a": [0] * (MAX_ELEMENTS + 1)}),
        ("any a (x == 1)", {"a": [{"x": 0}] * (MAX_ELEMENTS + 1)}),
        ("exists a[*].x", {"a": [0] * (MAX_ELEMENTS + 1)}),
        ("b == 2 or a[*] == 1 or a[*] == 2", {"a": [0] * (MAX_ELEMENTS // 2 + 1), "b": 1}),
    ],
)
def test_more_elements_than_the_limit_are_undecided(text: str, value: Any) -> None:
    with pytest.raises(Undecided, match=r"^'a' has too many elements: a condition looks at 10000 at most$"):
        holds(parse(text), value)


def test_more_comparisons_than_the_limit_are_undecided() -> None:
    value = {"a": [{"x": 0}] * 9_000}
    assert holds(parse(f"any a ({' or '.join(['x == 1'] * 11)})"), value) is False
    with pytest.raises(Undecided, match="comes too late: a condition makes 100000 comparisons at most"):
        holds(parse(f"any a ({' or '.join(['x == 1'] * 12)})"), value)


def test_as_many_elements_as_the_limit_are_looked_at() -> None:
    assert holds(parse("a[*] == 1"), {"a": [0] * (MAX_ELEMENTS - 1) + [1]}) is True
    assert holds(parse("a.count == 20000"), {"a": [0] * 20_000}) is True  # counting looks at none


@pytest.mark.parametrize("value", [math.nan, b"bytes", {1, 2}, object()])
@pytest.mark.parametrize("text", ["a > 0.8", "a <= 0.8", "a != 0.8", "a == 0.8", "a in [1]", "a contains 1"])
def test_a_value_that_json_does_not_have_lets_nothing_pass(text: str, value: Any) -> None:
    with pytest.raises(Undecided, match=r"^'a' is no value of JSON$"):
        holds(parse(text), {"a": value})


def test_words_of_conditions_are_names_too_where_they_cannot_be_mistaken() -> None:
    assert str(parse('["in"]["or"].and[0]["x y"] == 1')) == '["in"].or.and[0]["x y"] == 1'


def test_the_canonical_form_has_only_the_parentheses_it_needs() -> None:
    text = "((a==1) or ((b in [1,'x\"'])and(not(c>1.50)))) and not(d==1 or e==2) and any f ((g==1))"
    canonical = '(a == 1 or b in [1, "x\\""] and not c > 1.5) and not (d == 1 or e == 2) and any f (g == 1)'
    assert str(parse(text)) == canonical
