"""Laws that expressions obey whatever their text is and whatever is there."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.expressions import ExpressionFailed, flaws, names, render, render_url

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
TOKENS = [
    *("{{", "}}", "{", "}", "[", "]", "[]", "[*]", "[0]", "[-1]", "[1:]", "[?", "(", ")", ".", ",", ":", "*", "@", "&"),
    *("|", "||", "&&", "!", "==", "<", "'", '"', "`", "\\", " ", "-", "1", "0", "'a'", "`1`", "`[1, {}]`", "a", "b-c"),
    *("steps", "job", "secrets", "length(", "join(", "to_string(", "sort_by(", "map(", "sum(", "max(", "not_null("),
]
texts = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=12).map("".join)
expressions = texts.map(lambda text: f"{{{{{text}}}}}")
children = st.dictionaries(st.sampled_from(["a", "b-c", "1"]) | st.text(max_size=2), json_values, max_size=4)
scopes = st.dictionaries(st.sampled_from(["steps", "job", "secrets", "a"]), children | json_values, max_size=4)


@given(text=texts | expressions | st.text(), scope=scopes)
@settings(max_examples=1000, deadline=None)
@example(text="{{a[100000000000000000000]}}", scope={"a": [1]})
@example(text="{{ceil(a)}}", scope={"a": float("inf")})
@example(text="{{a}}", scope={"a": 10**5000})
@example(text="{{sum(a)}}", scope={"a": [10**400, 0.5]})
@example(text="{{(", scope={})
@example(text="{{`" + "[" * 490 + "`}}", scope={})
@example(text="{{" + "(" * 498 + "}}", scope={})
def test_nothing_but_expression_failed_is_ever_raised(text: str, scope: dict[str, Any]) -> None:
    for fill in (render, render_url):
        try:
            filled = fill(text, scope)
        except ExpressionFailed:
            continue
        json.dumps(filled, allow_nan=False)
    flaws(text, at="", steps=("a", "b-c"), roots=("steps", "job"))
    assert names(text, "steps") == {*names([text], "steps")}


@given(text=texts | expressions, scope=scopes)
@settings(max_examples=500, deadline=None)
def test_what_the_door_lets_pass_is_an_expression(text: str, scope: dict[str, Any]) -> None:
    if flaws(text, at="", steps=("a", "b-c"), roots=("steps", "job", "secrets")) or "schedule" in text:
        return
    said = ""
    try:
        render(text, scope)
    except ExpressionFailed as exc:
        said = exc.why
    assert not re.search(r"cannot stand there|must follow|not closed|no function|without '}}'", said)


@given(value=st.text(alphabet="{}job.id ", max_size=30) | texts)
def test_what_is_filled_in_is_not_looked_at_again(value: str) -> None:
    scope = {"job": {"a": value, "id": "second"}}
    assert render(["{{job.a}}", "-{{job.a}}-"], scope) == [value, f"-{value}-"]


@given(value=json_values)
def test_a_string_without_braces_and_all_that_is_no_string_stays_as_it_is(value: Any) -> None:
    if "{{" not in json.dumps(value):
        assert json.dumps(render(value, {})) == json.dumps(value)
        assert flaws(value, at="", steps=(), roots=()) == []


@given(text=st.text())
def test_doubled_braces_come_out_as_they_went_in(text: str) -> None:
    if "{" not in text:
        assert render(f"{text}{{{{{{{{{text}", {}) == f"{text}{{{{{text}"


@given(segment=st.text(min_size=1).filter(lambda text: text not in (".", "..")), value=st.text())
def test_what_is_encoded_into_a_url_is_read_there_again(segment: str, value: str) -> None:
    url = render_url("https://crm.example/a/{{job.s}}/b?k={{job.v}}&z=1", {"job": {"s": segment, "v": value}})
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "crm.example", "")
    assert [unquote(part) for part in parts.path.split("/")] == ["", "a", segment, "b"]
    assert parse_qsl(parts.query, keep_blank_values=True) == [("k", value), ("z", "1")]


@given(value=st.text())
def test_a_filled_host_is_one_host(value: str) -> None:
    try:
        url = render_url("https://{{job.h}}.crm.example/x", {"job": {"h": value}})
    except ExpressionFailed:
        return
    assert re.fullmatch(r"https://[A-Za-z0-9.-]+\.crm\.example/x", url)
