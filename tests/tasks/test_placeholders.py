"""What a firing fills into a schedule's document, what it leaves alone, and which places nothing would fill."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.model import Json
from tasks.errors import Flaw
from tasks.placeholders import has_any, render, unknown
from tasks.values import MAX_FLAWS

TIME = "2026-03-29T01:00:00Z"
VALUES = {"schedule.fire_time": TIME, "schedule.name": "nightly", "schedule.date": "2026-03-29"}

RENDERED: list[tuple[Json, Json]] = [
    ("{{schedule.fire_time}}", TIME),
    ("{{ schedule.fire_time\t}}", TIME),
    ("of {{schedule.date}} by {{schedule.name}}", "of 2026-03-29 by nightly"),
    ("{{schedule.name}}{{schedule.name}}", "nightlynightly"),
    ("{{{schedule.name}}}", "{nightly}"),
    ({"a": [{"b": "{{schedule.name}}"}, 1, None, True]}, {"a": [{"b": "nightly"}, 1, None, True]}),
    ({"{{schedule.name}}": "{{schedule.name}}"}, {"{{schedule.name}}": "nightly"}),
]
UNTOUCHED: list[Json] = [
    "{{input.name}}",
    "{{ steps.a.result }} {{schedule}} {{schedules.name}} {{my.schedule.name}}",
    "{schedule.name}",
    "{{schedule.name}",
    "{{schedule.na{{me",
    "{{ SCHEDULE.name }}",
    "{% schedule.name %}",
    "",
    5,
    None,
    [],
]

PIECES = ["{{", "}}", "{", "}", " ", "schedule.", "name", "fire_time", "input.", "x", "{{schedule.name}}"]
words = st.sampled_from(PIECES)
strings = st.lists(words, max_size=8).map("".join)
documents = st.recursive(
    st.none() | st.integers() | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
)


@pytest.mark.parametrize(("document", "wanted"), RENDERED)
def test_places_are_filled_in_every_string(document: Json, wanted: Json) -> None:
    assert has_any(document)
    assert render(document, VALUES) == wanted


@pytest.mark.parametrize("document", UNTOUCHED)
def test_whatever_else_stands_in_braces_is_left_alone(document: Json) -> None:
    assert not has_any(document)
    assert render(document, VALUES) == document
    assert unknown(document, VALUES) == []


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert render("{{schedule.name}}", {**VALUES, "schedule.name": "{{schedule.date}} \\1"}) == "{{schedule.date}} \\1"


def test_the_document_given_stays_as_it_was() -> None:
    document: dict[str, Any] = {"a": ["{{schedule.name}}"]}
    render(document, VALUES)
    assert document == {"a": ["{{schedule.name}}"]}


def test_a_name_without_a_value_stays_as_it_stands() -> None:
    assert render("{{schedule.nme}} {{ schedule.name }}", VALUES) == "{{schedule.nme}} nightly"


def test_unknown_names_are_told_by_their_place_with_the_nearest_right_one() -> None:
    document = {"steps": {"a/b": {"urls": ["{{schedule.name}}", "x{{ schedule.fire_tme }}{{schedule.zzz | upper}}"]}}}
    at = "/steps/a~1b/urls/1"
    assert unknown(document, VALUES) == [
        Flaw(pointer=at, detail="there is no {{schedule.fire_tme}}; did you mean 'fire_time'?"),
        Flaw(
            pointer=at,
            detail="there is no {{schedule.zzz | upper}}; there are: schedule.date, schedule.fire_time, schedule.name",
        ),
    ]
    assert unknown("{{schedule.}}", VALUES)[0].pointer == ""


def test_not_all_of_many_unknown_names_are_told() -> None:
    assert len(unknown(["{{schedule.nme}}"] * 1000, VALUES)) == MAX_FLAWS


def test_long_runs_of_braces_take_no_longer_than_their_length() -> None:
    begin = time.process_time()
    spaces = " " * 400_000
    for text in ("{{" * 200_000, "{{ " * 100_000, "{{schedule." * 40_000, "{{" + spaces, "{{schedule." + spaces):
        assert render(text, VALUES) == text
    assert time.process_time() - begin < 1


@given(document=documents)
def test_the_known_are_filled_the_unknown_told_and_nothing_else_changes(document: Json) -> None:
    filled = render(document, dict.fromkeys(VALUES, "-}{-"))  # which makes no place of what stands around it
    assert has_any(filled) == bool(unknown(document, VALUES))
    assert has_any(document) == (filled != document or has_any(filled))
