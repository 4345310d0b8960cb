"""A tenant's own template is checked so that nothing which it allows can fail for its form."""

from typing import Any

import pytest

from tasks.errors import Flaw, InvalidDocument
from tasks.spec import JobSpec
from tasks.template_document import check

STEPS = {
    "pic": {"kind": "image.resize", "variants": [{"name": "a", "width": 90, "height": 90}, {"name": "b", "width": 5}]},
    "say": {"kind": "echo", "use": ["pic"], "data": {"a": {"b": [1]}, "word": "hi"}, "message": "hello "},
}
SIDE = {"type": "integer", "minimum": 1, "maximum": 100}
MANY = {**SIDE, "max_items": 3, "default": [9]}


def wish(steps: Any = STEPS, **overrides: Any) -> Any:
    return {"steps": steps, "overrides": overrides}


def flaws(document: Any, **how: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as caught:
        check("mine", document, **how)
    return [(flaw.pointer, flaw.detail) for flaw in caught.value.flaws]


def test_a_whole_template_is_kept_as_it_was_sent() -> None:
    side = {**SIDE, "at": ["/pic/variants/0/width"], "default": 50}
    spec = check("mine", {"description": "d", **wish(side=side, word={"type": "string", "at": ["/say/data/word"]})})
    assert spec.overrides == {"side": side, "word": {"type": "string", "at": ["/say/data/word"]}}
    assert (spec.template.steps, spec.template.description) == (STEPS, "d")
    assert [step.name for step in spec.job.steps] == ["pic", "say"]
    assert spec.job.steps[0].params["variants"][0]["width"] == 50


def test_a_field_that_is_not_there_yet_may_be_added() -> None:
    assert check("mine", wish(q={**SIDE, "at": ["/pic/variants/0/quality", "/pic/page"]})).overrides


FORM: dict[str, tuple[Any, str, str]] = {
    "no object": ([], "", "an object"),
    "no steps": ({}, "/steps", "required"),
    "empty steps": ({"steps": {}}, "/steps", "at least 1"),
    "a step that is none": ({"steps": {"a": 1}}, "/steps/a", "an object"),
    "unknown field": ({"steps": STEPS, "override": {}}, "/override", "did you mean 'overrides'?"),
    "unknown kind": ({"steps": {"a": {"kind": "ecko"}}}, "/steps/a/kind", "did you mean 'echo'?"),
    "misspelt parameter": ({"steps": {"a": {"kind": "echo", "mesage": "x"}}}, "/steps/a/mesage", "'message'"),
    "uses what is not there": ({"steps": {"a": {"kind": "echo", "use": ["b"]}}}, "/steps/a/use/0", "no step 'b'"),
    "housekeeping": ({"steps": {"a": {"kind": "platform.retention"}}}, "/steps/a/kind", "no such kind"),
    "too large": ({"steps": {"a": {"kind": "echo", "data": "x" * 70_000}}}, "", "larger than 65536 bytes"),
    "long description": ({"steps": STEPS, "description": "x" * 1001}, "/description", "at most 1000"),
}


@pytest.mark.parametrize("case", FORM)
def test_what_is_wrong_with_its_steps_is_told_as_of_a_job(case: str) -> None:
    document, pointer, detail = FORM[case]
    [(found, why)] = flaws(document)
    assert found == pointer
    assert detail in why


OVERRIDES: dict[str, tuple[Any, str]] = {
    "no type": ({"at": ["/say/message"]}, "required"),
    "unknown type": ({"type": "object", "at": ["/say/message"]}, "Input should be"),
    "misspelt": ({"type": "string", "at": ["/say/message"], "max_lenght": 3}, "did you mean 'max_length'?"),
    "no place": ({"type": "string"}, "give the places"),
    "no pointer": ({"type": "string", "at": ["say/message"]}, "pattern"),
    "a bad escape": ({"type": "string", "at": ["/say/~2"]}, "leads nowhere"),
    "no such step": ({"type": "string", "at": ["/sya/message"]}, "leads nowhere"),
    "no such place": ({"type": "string", "at": ["/say/date/a"]}, "leads nowhere"),
    "behind a list": ({**SIDE, "at": ["/pic/variants/2/width"]}, "leads nowhere"),
    "before a list": ({**SIDE, "at": ["/pic/variants/-1/width"]}, "leads nowhere"),
    "the end of a list": ({**SIDE, "at": ["/say/data/a/b/-"]}, "leads nowhere"),
    "inside of text": ({**SIDE, "at": ["/say/message/0"]}, "leads nowhere"),
    "a whole step": ({"type": "string", "at": ["/say"]}, "nothing to be changed"),
    "a new step": ({"type": "string", "at": ["/new"]}, "nothing to be changed"),
    "its kind": ({"type": "string", "enum": ["echo"], "at": ["/say/kind"]}, "nothing to be changed"),
    "what it uses": ({"type": "string", "enum": ["pic"], "at": ["/say/use/0"]}, "nothing to be changed"),
    "a place twice": ({"type": "string", "at": ["/say/message", "/say/message"]}, "twice"),
    "a misspelt field": ({**SIDE, "at": ["/pic/variants/0/widht"]}, "did you mean 'width'?"),
    "no bounds": ({"type": "integer", "at": ["/pic/variants/0/width"]}, "minimum and a maximum"),
    "one bound": ({"type": "number", "minimum": 1, "at": ["/say/data"]}, "minimum and a maximum"),
    "crossed bounds": ({**SIDE, "minimum": 200, "at": ["/pic/variants/0/width"]}, "above the maximum"),
    "bounds between": ({**SIDE, "minimum": 0.5, "at": ["/pic/variants/0/width"]}, "are whole numbers"),
    "bounds of text": ({"type": "string", "minimum": 1, "maximum": 2, "at": ["/say/message"]}, "of numbers"),
    "length of a number": ({**SIDE, "max_length": 3, "at": ["/pic/variants/0/width"]}, "max_length is of text"),
    "enum of a wrong type": ({"type": "integer", "enum": ["1"], "at": ["/say/data"]}, "must be a whole number"),
    "enum with a value twice": ({"type": "integer", "enum": [1, 1], "at": ["/say/data"]}, "twice"),
    "a list of truths": ({"type": "boolean", "max_items": 2, "at": ["/say/data"]}, "neither"),
    "default outside": ({**SIDE, "default": 101, "at": ["/pic/variants/0/width"]}, "its default must be from 1 to 100"),
    "default of a wrong type": ({**SIDE, "default": "9", "at": ["/pic/variants/0/width"]}, "must be a whole number"),
    "below what the kind takes": ({**SIDE, "minimum": 0, "at": ["/pic/variants/0/width"]}, "with 0, which it allows"),
    "above what it takes": ({**SIDE, "maximum": 99_999, "at": ["/pic/variants/0/width"]}, "with 99999, which it"),
    "one of the enum": (
        {"type": "string", "enum": ["webp", "bmp"], "at": ["/pic/variants/0/format"]},
        'with "bmp", which it allows, /steps/pic/variants/0/format would be wrong',
    ),
    "against another field": ({"type": "string", "enum": ["cover"], "at": ["/pic/variants/1/fit"]}, "both width and"),
    "append without default": ({"type": "string", "append": ["/say/message"]}, "need a default"),
    "append to a number": ({**SIDE, "append": ["/pic/variants/0/width"], "default": 5}, "is no text"),
    "append to what is not there": ({**SIDE, "append": ["/pic/variants/0/fit"], "default": 5}, "is no text"),
    "append a list": ({**MANY, "append": ["/say/message"]}, "cannot be added to a text"),
    "repeat without a list": (
        {**SIDE, "default": 5, "repeat": "/pic/variants/0", "at": ["/pic/variants/0/width"]},
        "give max_items",
    ),
    "repeat no element": ({**MANY, "repeat": "/say/data/a", "at": ["/say/data/a/b"]}, "is no element of a list"),
    "repeat outside": (
        {**MANY, "repeat": "/pic/variants/0", "at": ["/pic/variants/1/width"]},
        "lies outside the element",
    ),
    "repeat the same name": (
        {**MANY, "repeat": "/pic/variants/0", "at": ["/pic/variants/0/width"]},
        "variant names must differ",
    ),
    "repeat too often": (
        {
            **MANY,
            "max_items": 20,
            "repeat": "/pic/variants/0",
            "at": ["/pic/variants/0/width"],
            "append": ["/pic/variants/0/name"],
        },
        "at most 20",
    ),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_an_override_that_could_make_no_job_is_refused_by_its_name(case: str) -> None:
    override, detail = OVERRIDES[case]
    found = flaws(wish(x=override))
    assert all(pointer == "/overrides/x" or pointer.startswith("/overrides/x/") for pointer, _ in found), found
    assert any(detail in why for _, why in found), found


@pytest.mark.parametrize(
    ("field", "given", "place"),
    [("enum", ["a", None], "/enum/1"), ("enum", [True], "/enum/0"), ("default", {"a": 1}, "/default")],
)
def test_a_value_of_no_type_is_told_once_and_at_its_place(field: str, given: Any, place: str) -> None:
    [(pointer, why)] = flaws(wish(x={"type": "string", field: given, "at": ["/say/message"]}))
    assert pointer == f"/overrides/x{place}"
    assert why.startswith("cannot be ")


@pytest.mark.parametrize(
    "bounds",
    [
        {"type": "number", "minimum": -1e308, "maximum": 1e308},
        {"type": "number", "minimum": -1e308, "maximum": 1e308, "max_items": 3},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1, "max_items": 3},
    ],
)
def test_bounds_may_be_as_wide_as_numbers_are(bounds: dict[str, Any]) -> None:
    check("mine", wish(x={**bounds, "at": ["/say/data"]}))


TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "the same place": ({"a": {**SIDE, "at": ["/say/data/a"]}, "b": {**SIDE, "at": ["/say/data/a"]}}, "'a' as well"),
    "a place in another": ({"a": {**SIDE, "at": ["/say/data"]}, "b": {**SIDE, "at": ["/say/data/a/b/0"]}}, "'a' as"),
    "a place around another": ({"a": {**SIDE, "at": ["/say/data/a/b/0"]}, "b": {**SIDE, "at": ["/say/data"]}}, "'a'"),
    "put and added": (
        {
            "a": {"type": "string", "at": ["/say/message"]},
            "b": {"type": "string", "default": "x", "append": ["/say/message"]},
        },
        "'a' as well",
    ),
    "the same element": (
        {
            "a": {**MANY, "repeat": "/say/data/a/b/0", "at": ["/say/data/a/b/0"]},
            "b": {**MANY, "repeat": "/say/data/a/b/0", "at": ["/say/data/a/b/0"]},
        },
        "repeats what 'a' repeats",
    ),
    "a reserved name": ({"template": {"type": "string", "at": ["/say/message"]}}, "not 'template' or 'tenant'"),
    "no name": ({"A b": {"type": "string", "at": ["/say/message"]}}, "an override's name is"),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_overrides_do_not_meet(case: str) -> None:
    overrides, detail = TOGETHER[case]
    found = flaws(wish(**overrides))
    assert any(detail in why for _, why in found), found


def test_more_than_can_be_tried_is_refused_before_it_is_tried() -> None:
    steps = {f"s{number}": {"kind": "echo", "data": {}} for number in range(100)}
    many = {f"o{n}": {"type": "integer", "enum": [*range(32)], "at": [f"/s{n}/data/a"]} for n in range(32)}
    [(pointer, why)] = flaws(wish(steps, **many))
    assert pointer == "/overrides"
    assert "more values than can be tried" in why


def test_each_job_that_may_come_of_it_is_looked_at_by_the_door_as_well() -> None:
    seen: list[Any] = []

    def look(job: JobSpec) -> None:
        seen.append(job.steps[0].params.get("message"))
        if seen[-1] == "no":
            raise InvalidDocument([Flaw(pointer="/steps/a/message", detail="is not to be said")])

    message = {"type": "string", "enum": ["yes", "no"], "at": ["/a/message"]}
    [(pointer, why)] = flaws(wish({"a": {"kind": "echo"}}, m=message), also=look)
    assert seen == [None, "yes", "no"]
    assert (pointer, "is not to be said" in why) == ("/overrides/m", True)
