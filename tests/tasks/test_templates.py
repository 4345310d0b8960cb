"""Templates: what ships, what a caller may change of it, and how that is put in."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.template_document import check
from tasks.template_overrides import MAX_TEXT, Override, from_text, unfit
from tasks.templates import SHIPPED, Template, owned, read

WIDTHS = [320, 640, 960, 1280, 1920]
# What a version means never changes: a change is a further version, with a further line here.
PINNED = {
    "thumbnails@1": "a3f01da228becbe0",
    "thumbnails-moderated@1": "2a04435c5f9f2d5f",
    "describe@1": "c905c61688a6a34e",
    "portrait@1": "1e13d020d0ebb241",
    "avatar@1": "d5c691c5c701b499",
    "responsive@1": "5b73b09fb842c1e1",
}
ALL = [template for versions in SHIPPED.values() for template in versions]


def params(document: Any, step: str) -> Any:
    return next(one.params for one in parse(document).steps if one.name == step)


def flaws(document: Any, **how: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as caught:
        parse(document, **how)
    return [(flaw.pointer, flaw.detail) for flaw in caught.value.flaws]


def said(template: Template) -> Any:
    """All of it but the words for people."""
    overrides = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in template.overrides.items()}
    for one in overrides.values():
        one.pop("description", None)
    return {"steps": template.steps, "overrides": overrides}


def own(steps: Any, **overrides: Any) -> Template:
    """A template of a tenant that lets change this much."""
    made = {name: Override.model_validate(one) for name, one in overrides.items()}
    return Template(name="mine", version=7, description="", steps=steps, overrides=made)


@pytest.mark.parametrize("template", ALL, ids=[one.reference for one in ALL])
def test_what_a_shipped_version_means_never_changes(template: Template) -> None:
    digest = hashlib.sha256(json.dumps(said(template)).encode()).hexdigest()[:16]
    assert digest == PINNED[template.reference]


@pytest.mark.parametrize("template", ALL, ids=[one.reference for one in ALL])
def test_what_ships_passes_what_tenants_have_to_pass(template: Template) -> None:
    assert check(template.name, {"description": template.description, **said(template)}).job.steps
    assert parse({"template": template.reference}).template == template.reference


def test_without_changes_thumbnails_are_what_they_always_were() -> None:
    spec = parse({"template": "thumbnails"})
    assert [(step.name, step.params) for step in spec.steps] == [
        (
            "thumbs",
            {
                "variants": [
                    {"name": "small", "width": 320, "height": 320, "format": "webp"},
                    {"name": "medium", "width": 1024, "height": 1024, "format": "webp"},
                    {"name": "large", "width": 2048, "height": 2048, "format": "jpeg"},
                ]
            },
        )
    ]
    assert spec.template == "thumbnails@1"
    [check_step, thumbs] = parse({"template": "thumbnails-moderated"}).steps
    assert check_step.stop_when is not None
    assert (check_step.stop_when.condition, thumbs.use) == ("moderation.nsfw >= 0.8", ("check",))


def test_a_change_reaches_all_its_places() -> None:
    made = params({"template": "thumbnails@1", "with": {"quality": 70, "small": 99}}, "thumbs")
    assert [one["quality"] for one in made["variants"]] == [70, 70, 70]
    assert [(one["width"], one["height"]) for one in made["variants"]] == [(99, 99), (1024, 1024), (2048, 2048)]
    spec = parse({"template": "thumbnails-moderated", "with": {"nsfw": 0.35}})
    assert spec.steps[0].stop_when is not None
    assert spec.steps[0].stop_when.condition == "moderation.nsfw >= 0.35"


def test_a_list_makes_an_element_for_each_value() -> None:
    made = params({"template": "responsive"}, "pictures")["variants"]
    assert [one["name"] for one in made] == [*(f"w{width}" for width in WIDTHS), "fallback"]
    assert [one["width"] for one in made] == [*WIDTHS, 1280]
    assert not any(one["enlarge"] for one in made)
    assert {one["format"] for one in made[:-1]} == {"webp"}
    assert made[-1]["format"] == "jpeg"
    made = params({"template": "responsive", "with": {"widths": [77], "quality": 5, "fallback": 500}}, "pictures")
    assert made["variants"] == [
        {"name": "w77", "width": 77, "format": "webp", "enlarge": False, "quality": 5},
        {"name": "fallback", "width": 500, "format": "jpeg", "enlarge": False, "quality": 5},
    ]
    made = params({"template": "avatar"}, "avatars")["variants"]
    assert [(one["name"], one["width"], one["height"]) for one in made] == [
        (f"avatar-{side}", side, side) for side in (64, 128, 256)
    ]
    assert {(one["fit"], one["gravity"], one["format"]) for one in made} == {("cover", "attention", "webp")}


def test_several_lists_are_repeated_where_they_stood() -> None:
    variants = [{"name": "a", "width": 1}, {"name": "mid", "width": 5}, {"name": "b", "width": 2}]
    many = {"type": "integer", "minimum": 1, "maximum": 99, "max_items": 5}
    places = [
        {**many, "default": [10, 11], "repeat": at, "at": [f"{at}/width"], "append": [f"{at}/name"]}
        for at in ("/s/variants/0", "/s/variants/2")
    ]
    mine = own({"s": {"kind": "image.resize", "variants": variants}}, first=places[0], last=places[1])
    spec = parse({"template": "mine", "with": {"last": [7, 8, 9]}}, templates=lambda _: mine)
    assert [(one["name"], one["width"]) for one in spec.steps[0].params["variants"]] == [
        ("a10", 10),
        ("a11", 11),
        ("mid", 5),
        ("b7", 7),
        ("b8", 8),
        ("b9", 9),
    ]
    assert mine.steps["s"]["variants"] == variants  # the template stays as it was


FLAWED: dict[str, tuple[Any, str, str]] = {
    "misspelt": ({"with": {"qualty": 1}}, "/with/qualty", "did you mean 'quality'?"),
    "far from all": ({"with": {"zzz": 1}}, "/with/zzz", "there are: small, medium, large, quality, format"),
    "too much": ({"with": {"quality": 101}}, "/with/quality", "must be from 1 to 100"),
    "no whole number": ({"with": {"quality": 7.5}}, "/with/quality", "must be a whole number"),
    "no number": ({"with": {"quality": "70"}}, "/with/quality", "must be a whole number"),
    "true for a number": ({"with": {"quality": True}}, "/with/quality", "must be a whole number"),
    "null": ({"with": {"quality": None}}, "/with/quality", "must be a whole number"),
    "not of the enum": ({"with": {"format": "bmp"}}, "/with/format", "must be one of auto, webp, jpeg, png, avif"),
    "with of a wrong type": ({"with": [70]}, "/with", "must be an object"),
    "no such version": ({"template": "thumbnails@2"}, "/template", "has no version 2; its newest is 1"),
    "version nought": ({"template": "thumbnails@0"}, "/template", "there is no such template"),
    "no reference": ({"template": "thumb nails"}, "/template", "did you mean 'thumbnails'?"),
    "no list": ({"template": "avatar", "with": {"sizes": 64}}, "/with/sizes", "must be a list of 1 to 10 values"),
    "empty list": ({"template": "avatar", "with": {"sizes": []}}, "/with/sizes", "must be a list of 1 to 10 values"),
    "long list": ({"template": "avatar", "with": {"sizes": [*range(20, 31)]}}, "/with/sizes", "a list of 1 to 10"),
    "twice": ({"template": "avatar", "with": {"sizes": [64, 64]}}, "/with/sizes", "must hold no value twice"),
    "one too small": ({"template": "avatar", "with": {"sizes": [64, 1]}}, "/with/sizes", "holds 1, which must be from"),
}


@pytest.mark.parametrize("case", FLAWED)
def test_what_a_template_does_not_let_change_is_refused_by_its_place(case: str) -> None:
    document, pointer, detail = FLAWED[case]
    [(found, why)] = flaws({"template": "thumbnails", **document})
    assert found == pointer
    assert detail in why


def test_a_with_needs_a_template() -> None:
    [(pointer, _)] = flaws({"steps": {"a": {"kind": "echo"}}, "with": {}})
    assert pointer == "/with"


def test_what_values_do_to_steps_together_is_told_of_what_was_given() -> None:
    """Each value may be allowed, and what they make together still be none."""
    variant = {"name": "a", "width": 9, "format": "webp"}
    mine = own(
        {"s": {"kind": "image.resize", "variants": [variant]}},
        format={"type": "string", "enum": ["webp", "jpeg"], "at": ["/s/variants/0/format"]},
        lossless={"type": "boolean", "at": ["/s/variants/0/lossless"]},
    )
    assert parse({"template": "mine", "with": {"lossless": True}}, templates=lambda _: mine).steps
    [(pointer, why)] = flaws(
        {"template": "mine", "with": {"format": "jpeg", "lossless": True}}, templates=lambda _: mine
    )
    assert pointer == "/with/format"
    assert "jpeg cannot be lossless; webp and avif can (at /s/variants/0 of the steps of mine@7)" in why


def test_steps_that_are_none_any_more_are_told_of_the_template() -> None:
    gone = own({"s": {"kind": "smoke.signal"}})
    [(pointer, why)] = flaws({"template": "mine"}, templates=lambda _: gone)
    assert pointer == "/template"
    assert "there is no such kind" in why


def test_steps_do_not_grow_without_bounds() -> None:
    mine = own(
        {"s": {"kind": "echo", "data": [{"big": "x" * 10_000, "n": 1}]}},
        n={
            "type": "integer",
            "minimum": 1,
            "maximum": 50,
            "max_items": 50,
            "default": [1],
            "repeat": "/s/data/0",
            "at": ["/s/data/0/n"],
        },
    )
    [(pointer, why)] = flaws({"template": "mine", "with": {"n": [*range(1, 11)]}}, templates=lambda _: mine)
    assert pointer == "/with"
    assert "larger than 65536 bytes" in why


def values(override: Override) -> st.SearchStrategy[Any]:
    """Whatever the override allows."""
    one: st.SearchStrategy[Any] = st.booleans() if override.type == "boolean" else st.text(max_size=MAX_TEXT)
    if override.enum is not None:
        one = st.sampled_from(override.enum)
    elif override.minimum is not None and override.maximum is not None:
        low, high = override.minimum, override.maximum
        one = st.integers(int(low), int(high))
        if override.type == "number":  # in digits as a query has them
            one = st.floats(low, high).map(lambda value: round(value, 4))
    return one if override.max_items is None else st.lists(one, min_size=1, max_size=override.max_items, unique=True)


@st.composite
def allowed(draw: st.DrawFn) -> Any:
    """A document of a shipped template with whatever may be changed of it."""
    template = draw(st.sampled_from(ALL))
    names = draw(st.lists(st.sampled_from(sorted(template.overrides)), unique=True))
    return {"template": template.name, "with": {name: draw(values(template.overrides[name])) for name in names}}


@given(allowed())
@settings(max_examples=60, deadline=None)
def test_whatever_a_shipped_template_allows_makes_a_job(document: Any) -> None:
    assert parse(document).steps
    template = SHIPPED[document["template"]][-1]
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in document["with"].items()
    }
    assert read(template, texts) == document["with"]


TEXTS: list[tuple[dict[str, Any], str, Any]] = [
    ({"type": "integer", "minimum": 0, "maximum": 9}, "7", 7),
    ({"type": "integer", "minimum": 0, "maximum": 9}, "-7", -7),
    ({"type": "integer", "minimum": 0, "maximum": 9}, "7.0", "7.0"),
    ({"type": "integer", "minimum": 0, "maximum": 9}, "\u0667", "\u0667"),
    ({"type": "integer", "minimum": 0, "maximum": 9}, "9" * 30, "9" * 30),
    ({"type": "number", "minimum": 0, "maximum": 9}, "7", 7),
    ({"type": "number", "minimum": 0, "maximum": 9}, "7.25", 7.25),
    ({"type": "number", "minimum": 0, "maximum": 9}, "nan", "nan"),
    ({"type": "boolean"}, "true", True),
    ({"type": "boolean"}, "1", "1"),
    ({"type": "string"}, "7", "7"),
    ({"type": "string", "max_items": 3}, "a,b", ["a", "b"]),
    ({"type": "integer", "minimum": 0, "maximum": 9, "max_items": 3}, "1,x,", [1, "x", ""]),
]


@pytest.mark.parametrize(("override", "text", "value"), TEXTS)
def test_a_text_is_read_as_its_type_or_left_as_it_is(override: dict[str, Any], text: str, value: Any) -> None:
    read_as = from_text(Override.model_validate({**override, "at": ["/s/data"]}), text)
    assert (read_as, type(read_as)) == (value, type(value))


def test_free_text_has_a_length() -> None:
    short = Override.model_validate({"type": "string", "max_length": 3, "at": ["/s/data"]})
    assert [unfit(short, text) for text in ("abc", "abcd")] == [None, "must have at most 3 characters"]
    free = Override.model_validate({"type": "string", "at": ["/s/data"]})
    assert unfit(free, "x" * MAX_TEXT) is None
    assert unfit(free, "x" * (MAX_TEXT + 1)) is not None


@pytest.mark.parametrize(
    ("document", "reference"),
    [
        ({"template": "thumbnails"}, None),
        ({"template": "thumbnails@9"}, None),
        ({"template": "mine"}, "mine"),
        ({"template": "mine@2", "with": {}}, "mine@2"),
        ({"template": "not one"}, None),
        ({"template": 3}, None),
        ({"steps": {}}, None),
        ([], None),
    ],
)
def test_the_database_is_asked_only_for_what_may_be_the_tenants_own(document: Any, reference: str | None) -> None:
    assert owned(document) == reference
