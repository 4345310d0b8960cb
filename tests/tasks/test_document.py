"""What a job's document may be, and how flaws are named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.names import MAX_STEPS, Priority
from tasks.values import parse_json

SMALL = {"name": "small", "width": 10}
FACE = {"name": "face", "width": 50, "height": 50, "fit": "cover", "gravity": "face"}


def flaws(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as caught:
        parse(parse_json(document if isinstance(document, bytes) else json.dumps(document).encode()))
    return [(flaw.pointer, flaw.detail) for flaw in caught.value.flaws]


def step(**fields: Any) -> dict[str, Any]:
    return {"steps": {"a": fields}}


def test_a_whole_document_is_taken() -> None:
    spec = parse(
        {
            "steps": {
                "thumbs": {"kind": "image.resize", "variants": [SMALL]},
                "crm": {"kind": "http.call", "use": ["thumbs"], "url": "https://example.org/hook"},
            },
            "priority": "high",
            "metadata": {"order": 7},
        }
    )
    assert [(one.name, one.kind.name, one.use) for one in spec.steps] == [
        ("thumbs", "image.resize", ()),
        ("crm", "http.call", ("thumbs",)),
    ]
    assert spec.steps[0].params == {"variants": [SMALL]}
    assert (spec.priority, spec.metadata, spec.file_step) == (Priority.HIGH, {"order": 7}, "thumbs")


def test_a_template_stands_for_its_steps() -> None:
    assert [one.name for one in parse({"template": "thumbnails"}).steps] == ["thumbs"]


FLAWED: dict[str, tuple[Any, str, str]] = {
    "not an object": ([], "", "JSON object"),
    "nothing to do": ({}, "", "either steps or a template"),
    "both": ({"template": "thumbnails", "steps": {"a": {"kind": "echo"}}}, "", "either steps or a template"),
    "no steps": ({"steps": {}}, "/steps", "at least one step"),
    "steps as a list": ({"steps": [1]}, "/steps", "at least one step"),
    "misspelt field": ({"stpes": {}}, "/stpes", "did you mean 'steps'?"),
    "misspelt template": ({"template": "thumbnail"}, "/template", "did you mean 'thumbnails'?"),
    "template of a wrong type": ({"template": 3}, "/template", "there are: thumbnails"),
    "misspelt kind": (step(kind="ecko"), "/steps/a/kind", "did you mean 'echo'?"),
    "no kind": (step(message="x"), "/steps/a", "needs its 'kind'; there are: image.resize"),
    "misspelt kind field": (step(kid="echo"), "/steps/a", "needs its 'kind', and not 'kid'"),
    "no template": ({"template": None}, "/template", "there is no such template"),
    "many steps in use": (step(kind="echo", use=["b"] * 1000), "/steps/a/use", "at most 100"),
    "many fields": (step(kind="echo", **{f"f{n}": 1 for n in range(100)}), "/steps/a", "at most 64"),
    "kind of a wrong type": (step(kind=["echo"]), "/steps/a/kind", "there is no such kind"),
    "step of a wrong type": ({"steps": {"a": 1}}, "/steps/a", "object with a kind"),
    "misspelt parameter": (step(kind="echo", mesage="x"), "/steps/a/mesage", "did you mean 'message'?"),
    "misspelt parameter, deep": (
        step(kind="image.resize", variants=[{"name": "s", "widht": 3, "width": 3}]),
        "/steps/a/variants/0/widht",
        "did you mean 'width'?",
    ),
    "number as text": (step(kind="echo", sleep_seconds="1"), "/steps/a/sleep_seconds", "valid number"),
    "number out of bounds": (
        step(kind="echo", sleep_seconds=301),
        "/steps/a/sleep_seconds",
        "less than or equal to 300",
    ),
    "variant without a size that it needs": (
        step(kind="image.resize", variants=[{"name": "s", "fit": "outside"}]),
        "/steps/a/variants/0",
        "width, height",
    ),
    "cover without a height": (
        step(kind="image.resize", variants=[{**SMALL, "fit": "cover"}]),
        "/steps/a/variants/0",
        "needs both",
    ),
    "variant twice": (step(kind="image.resize", variants=[SMALL, SMALL]), "/steps/a", "must differ"),
    "variant named as a path": (
        step(kind="image.resize", variants=[{**SMALL, "name": "../x"}]),
        "/steps/a/variants/0/name",
        "match pattern",
    ),
    "step named as a path": ({"steps": {"../a": {"kind": "echo"}}}, "/steps/..~1a", "a step's name is"),
    "step with a newline in its name": ({"steps": {"a\n": {"kind": "echo"}}}, "/steps/a\n", "a step's name is"),
    "step with a long name": ({"steps": {"a" * 65: {"kind": "echo"}}}, f"/steps/{'a' * 65}", "a step's name is"),
    "use of nothing": (step(kind="echo", use=["b"]), "/steps/a/use/0", "there is no step 'b'"),
    "use of itself": (step(kind="echo", use=["a"]), "/steps/a/use/0", "cannot use itself"),
    "use of a wrong type": (step(kind="echo", use="a"), "/steps/a/use", "list of names"),
    "use twice": (
        {"steps": {"a": {"kind": "echo"}, "b": {"kind": "echo", "use": ["a", "a"]}}},
        "/steps/b/use/1",
        "twice",
    ),
    "circle": (
        {"steps": {name: {"kind": "echo", "use": [to]} for name, to in zip("abc", "bca", strict=True)}},
        "/steps",
        "in a circle",
    ),
    "pictures of two steps": (
        {
            "steps": {
                "a": {"kind": "image.resize", "variants": [SMALL]},
                "b": {"kind": "image.resize", "variants": [SMALL]},
                "c": {"kind": "image.resize", "use": ["a", "b"], "variants": [SMALL]},
            }
        },
        "/steps/c/use",
        "at most one step that makes files",
    ),
    "gravity without an analysis": (
        {"steps": {"a": {"kind": "image.resize", "variants": [FACE]}}},
        "/steps/a/use",
        "'faces' among its features",
    ),
    "gravity with an analysis of other things": (
        {
            "steps": {
                "look": {"kind": "image.analyze", "features": ["objects"]},
                "a": {"kind": "image.resize", "use": ["look"], "variants": [FACE]},
            }
        },
        "/steps/a/use",
        "'faces' among its features",
    ),
    "gravity with an analysis of another file": (
        {
            "steps": {
                "small": {"kind": "image.resize", "variants": [SMALL]},
                "look": {"kind": "image.analyze", "features": ["faces"], "use": ["small"]},
                "a": {"kind": "image.resize", "use": ["look"], "variants": [FACE]},
            }
        },
        "/steps/a/use",
        "works on the same file",
    ),
    "gravity without a crop": (
        step(kind="image.resize", variants=[{"name": "s", "width": 1, "gravity": "face"}]),
        "/steps/a/variants/0",
        "needs fit 'cover'",
    ),
    "no such feature": (step(kind="image.analyze", features=["labels", "smell"]), "/steps/a/features/1", "'labels'"),
    "a feature twice": (step(kind="image.analyze", features=["text", "text"]), "/steps/a", "twice"),
    "no feature": (step(kind="image.analyze", features=[]), "/steps/a/features", "at least 1"),
    "a condition that is none": (
        step(kind="echo", stop_when="message = 'x'"),
        "/steps/a/stop_when",
        "is no condition: character 9",
    ),
    "a condition that is none, with a code": (
        step(kind="echo", stop_when={"condition": "message", "code": "x"}),
        "/steps/a/stop_when/condition",
        "is no condition",
    ),
    "a condition on what is not asked for": (
        step(kind="image.analyze", features=["labels"], stop_when="moderation.nsfw > 0.5"),
        "/steps/a/stop_when",
        "'moderation', which this step's result will not have; it has: errors, labels, models",
    ),
    "a condition of a wrong type": (step(kind="echo", stop_when=[]), "/steps/a/stop_when", "a condition, or an object"),
    "a condition with an unknown field": (
        step(kind="echo", stop_when={"condition": "message == 'x'", "cod": "x"}),
        "/steps/a/stop_when/cod",
        "did you mean 'code'",
    ),
    "a code that is none": (
        step(kind="echo", stop_when={"condition": "message == 'x'", "code": "Not OK"}),
        "/steps/a/stop_when/code",
        "a-z 0-9 _",
    ),
    "an endless message": (
        step(kind="echo", stop_when={"condition": "message == 'x'", "message": "x" * 2000}),
        "/steps/a/stop_when/message",
        "1 to 1000",
    ),
    "too many steps": ({"steps": {f"s{n}": {"kind": "echo"} for n in range(10_000)}}, "/steps", "at most 100"),
    "priority": ({"template": "thumbnails", "priority": "urgent"}, "/priority", "high, normal, low"),
    "priority of a wrong type": ({"template": "thumbnails", "priority": []}, "/priority", "high, normal, low"),
    "metadata of a wrong type": ({"template": "thumbnails", "metadata": []}, "/metadata", "an object"),
    "large metadata": ({"template": "thumbnails", "metadata": {"a": "x" * 20_000}}, "/metadata", "larger than"),
    "not a URL": (step(kind="http.call", url="ftp://x"), "/steps/a/url", "http"),
    "NUL": (step(kind="echo", message="a\x00b"), "/steps/a/message", "NUL"),
    "NUL in a name": (step(kind="echo", data={"\x00": 1}), "/steps/a/data", "NUL"),
    "half a surrogate pair": (b'{"steps": {"a": {"kind": "echo", "message": "\\ud800"}}}', "", "not JSON"),
    "deep nesting": (b'{"metadata": ' + b"[" * 60 + b"]" * 60 + b"}", "/metadata" + "/0" * 31, "nested deeper"),
    "very deep nesting": (b"[" * 100_000, "", "not JSON"),
    "10,000 digits": (b'{"metadata": {"n": ' + b"1" * 10_000 + b"}}", "", "not JSON"),
    "65 bits": ({"template": "thumbnails", "metadata": {"n": 2**64}}, "/metadata/n", "64 bits"),
    "infinite": (b'{"metadata": {"n": 1e999}}', "/metadata/n", "too large"),
    "NaN": (b'{"metadata": {"n": NaN}}', "", "not JSON"),
    "not UTF-8": (b'{"metadata": {"n": "\xff"}}', "", "not JSON"),
    "cut off": (b'{"metadata": {', "", "not JSON"),
    "empty": (b"", "", "not JSON"),
}


@pytest.mark.parametrize("case", FLAWED)
def test_each_flaw_is_named_by_its_place(case: str) -> None:
    document, pointer, detail = FLAWED[case]
    found = flaws(document)
    assert [said for at, said in found if at == pointer and detail in said], found


def test_all_flaws_are_named_at_once() -> None:
    document = {"steps": {"a": {"kind": "ecko"}, "b": {"kind": "echo", "x": 1}}, "priority": 1}
    assert [pointer for pointer, _ in flaws(document)] == ["/steps/a/kind", "/steps/b/x", "/priority"]


def test_of_many_flaws_the_first_twenty_are_told() -> None:
    assert len(flaws({"steps": {f"s{n}": {"kind": "ecko"} for n in range(90)}})) == 20


def test_a_hundred_steps_in_a_row_are_taken() -> None:
    steps = {f"s{n}": {"kind": "echo", "use": [f"s{n - 1}"] if n else []} for n in range(MAX_STEPS)}
    assert len(parse({"steps": steps}).steps) == MAX_STEPS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=20,
)
near_documents = st.fixed_dictionaries(
    {},
    optional={
        "steps": json_values
        | st.dictionaries(st.text(max_size=5), json_values | st.just({"kind": "echo"}), max_size=4),
        "template": json_values | st.just("thumbnails"),
        "priority": json_values,
        "metadata": json_values,
    },
)


def taken_or_refused(raw: bytes) -> bool:
    try:
        return bool(parse(parse_json(raw)).steps)
    except InvalidDocument as refused:
        return bool(refused.flaws)


@given(json_values | near_documents)
def test_any_json_is_taken_or_refused_and_nothing_else(document: Any) -> None:
    assert taken_or_refused(json.dumps(document).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_and_nothing_else(raw: bytes) -> None:
    assert taken_or_refused(raw)


def test_a_condition_gets_a_code_and_a_message_by_itself() -> None:
    [spec] = parse(step(kind="image.analyze", features=["moderation"], stop_when="moderation.nsfw > 0.8")).steps
    assert spec.stop_when is not None
    assert spec.stop_when.code == "moderation_rejected"
    assert "moderation.nsfw > 0.8" in spec.stop_when.message
    [spec] = parse(step(kind="echo", stop_when="message == 'x' or data.y == 1")).steps
    assert spec.stop_when is not None
    assert spec.stop_when.code == "rejected"


def test_a_step_may_wait_for_an_analysis_and_work_on_the_jobs_own_file() -> None:
    look = {"kind": "image.analyze", "features": ["faces", "moderation"]}
    resize = {"kind": "image.resize", "use": ["look"], "variants": [FACE]}
    spec = parse({"steps": {"a": resize, "look": look}})
    assert spec.file_step == "a"
    behind = {"small": {"kind": "image.resize", "variants": [SMALL]}, "look": {**look, "use": ["small"]}}
    assert parse({"steps": {**behind, "a": {**resize, "use": ["look", "small"]}}}).file_step == "small"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("lables", "labels"), ("Faces", "faces"), ("nsfw", "moderation"), ("OCR", "text"), ("codess", "codes")],
)
def test_a_misspelt_feature_gets_the_right_one(given: str, meant: str) -> None:
    with pytest.raises(InvalidDocument, match=f"did you mean '{meant}'"):
        parse(step(kind="image.analyze", features=[given]))


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800"])
def test_what_no_row_can_carry_is_refused_in_a_condition_too(odd: str) -> None:
    for stop_when in (f"message == '{odd}'", {"condition": "message == 'x'", "message": odd}):
        with pytest.raises(InvalidDocument):
            parse(step(kind="echo", stop_when=stop_when))
