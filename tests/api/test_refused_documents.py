"""Every flaw of a job's document is refused, by its place, and leaves nothing behind."""

import json
from typing import Any

import pytest

from tasks.document import MAX_METADATA_BYTES
from tasks.names import MAX_STEPS
from tasks.values import MAX_DEPTH
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, leaving_nothing


def step(**fields: Any) -> dict[str, Any]:
    return {"steps": {"say": {"kind": "echo", **fields}}}


def resize(**variant: Any) -> dict[str, Any]:
    return {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 32, **variant}]}}}


def steps(**used: list[str]) -> dict[str, Any]:
    return {"steps": {name: {"kind": "echo", "use": names} for name, names in used.items()}}


def named(name: str) -> dict[str, Any]:
    return {"steps": {name: {"kind": "echo"}}}


SAY = "/steps/say"
VARIANT_NAME = "/steps/thumbs/variants/0/name"
BAD_NAMES = {
    "upwards": "../up",
    "dots": "..",
    "escaped dots": "%2e%2e",
    "backslash": "..\\up",
    "absolute": "/etc/passwd",
    "newline at the end": "small\n",
    "capital": "Small",
    "empty": "",
    "65 characters": "a" * 65,
    "not ASCII": "kläin",
}

FLAWED: dict[str, tuple[Any, list[str]]] = {
    "not an object": ([], [""]),
    "neither steps nor template": ({}, [""]),
    "steps and template": ({**step(), "template": "thumbnails"}, [""]),
    "no steps": ({"steps": {}}, ["/steps"]),
    "steps are a list": ({"steps": [{"kind": "echo"}]}, ["/steps"]),
    "a step is a string": ({"steps": {"say": "echo"}}, [SAY]),
    "unknown template": ({"template": "thumbnail"}, ["/template"]),
    "template of a wrong type": ({"template": ["thumbnails"]}, ["/template"]),
    "unknown field": ({**step(), "stpes": {}}, ["/stpes"]),
    "unknown field of a step": (step(mesage="hi"), [f"{SAY}/mesage"]),
    "unknown field of a variant": (resize(widht=3), ["/steps/thumbs/variants/0/widht"]),
    "field that needs escaping": ({**step(), "a/b~c": 1}, ["/a~1b~0c"]),
    "unknown kind": ({"steps": {"say": {"kind": "ecko"}}}, [f"{SAY}/kind"]),
    "no kind": ({"steps": {"say": {}}}, [SAY]),
    "kind of a wrong type": ({"steps": {"say": {"kind": ["echo"]}}}, [f"{SAY}/kind"]),
    "parameter of a wrong type": (step(message=5), [f"{SAY}/message"]),
    "number as text": (step(sleep_seconds="1"), [f"{SAY}/sleep_seconds"]),
    "number out of range": (step(sleep_seconds=301), [f"{SAY}/sleep_seconds"]),
    "boolean as number": (resize(width=True), ["/steps/thumbs/variants/0/width"]),
    "missing parameter": ({"steps": {"thumbs": {"kind": "image.resize"}}}, ["/steps/thumbs/variants"]),
    "two variants of one name": (
        {"steps": {"t": {"kind": "image.resize", "variants": [{"name": "a", "width": 1}, {"name": "a", "width": 2}]}}},
        ["/steps/t"],
    ),
    "URL that is none": ({"steps": {"call": {"kind": "http.call", "url": "ftp://x"}}}, ["/steps/call/url"]),
    "unknown priority": ({**step(), "priority": "urgent"}, ["/priority"]),
    "priority of a wrong type": ({**step(), "priority": {"high": 1}}, ["/priority"]),
    "metadata of a wrong type": ({**step(), "metadata": []}, ["/metadata"]),
    "huge metadata": ({**step(), "metadata": {"a": "x" * (MAX_METADATA_BYTES + 1)}}, ["/metadata"]),
    "use of a wrong type": (step(use="other"), [f"{SAY}/use"]),
    "use of numbers": (step(use=[1]), [f"{SAY}/use"]),
    "use of itself": (steps(a=["a"]), ["/steps/a/use/0"]),
    "use of an unknown step": (steps(a=[], b=["a", "c"]), ["/steps/b/use/1"]),
    "use of a step twice": (steps(a=[], b=["a", "a"]), ["/steps/b/use/1"]),
    "circle of two": (steps(a=["b"], b=["a"]), ["/steps"]),
    "circle of five": (steps(a=["e"], b=["a"], c=["b"], d=["c"], e=["d"]), ["/steps"]),
    "step that needs a file and has none": (resize(), ["/steps/thumbs"]),
    "step that waits for another, needs a file and has none": (
        {"steps": {"say": {"kind": "echo"}, "t": {**resize()["steps"]["thumbs"], "use": ["say"]}}},
        ["/steps/t"],
    ),
    "gravity without an analysis": (
        resize(height=32, fit="cover", gravity="face"),
        ["/steps/thumbs/use"],
    ),
    "condition that is none": (step(stop_when="message ="), [f"{SAY}/stop_when"]),
    "condition on what is not asked for": (
        {"steps": {"look": {"kind": "image.analyze", "features": ["text"], "stop_when": "faces.count > 0"}}},
        ["/steps/look/stop_when"],
    ),
    "101 steps": ({"steps": {f"s{n}": {"kind": "echo"} for n in range(MAX_STEPS + 1)}}, ["/steps"]),
    "10,000 steps": ({"steps": {f"s{n}": {"kind": "echo"} for n in range(10_000)}}, ["/steps"]),
    "NUL in a string": (step(message="a\0b"), [f"{SAY}/message"]),
    "NUL in metadata": ({**step(), "metadata": {"a": ["\0"]}}, ["/metadata/a/0"]),
    "NUL in a field's name": ({**step(), "metadata": {"a\0": 1}}, ["/metadata"]),
    "NUL in a step's name": (named("a\0"), ["/steps"]),
    "number of 65 bits": (step(data=2**63), [f"{SAY}/data"]),
    "one level too deep": (
        step(data=json.loads("[" * (MAX_DEPTH - 2) + "1" + "]" * (MAX_DEPTH - 2))),
        [f"{SAY}/data" + "/0" * (MAX_DEPTH - 3)],
    ),
    **{
        f"step's name: {what}": (named(name), [f"/steps/{name.replace('/', '~1')}"]) for what, name in BAD_NAMES.items()
    },
    **{f"variant's name: {what}": (resize(name=name), [VARIANT_NAME]) for what, name in BAD_NAMES.items()},
}

# What no JSON writer makes: the body as it is.
RAW: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", [""]),
    "null": (b"null", [""]),
    "not JSON": (b"steps: {}", [""]),
    "two values": (b"{} {}", [""]),
    "cut off": (b'{"steps": {"say": {"kind": "ec', [""]),
    "invalid UTF-8": (b'{"steps": {"say": {"kind": "echo", "message": "\xff\xfe"}}}', [""]),
    "UTF-16": (json.dumps(step()).encode("utf-16"), [""]),
    "control character in a string": (b'{"steps": {"say": {"kind": "echo", "message": "a\x01b"}}}', [""]),
    "lone surrogate": (b'{"steps": {"say": {"kind": "echo", "message": "\\ud800"}}}', [""]),
    "lone surrogate in a name": (b'{"steps": {"\\udfff": {"kind": "echo"}}}', [""]),
    "nested 100,000 arrays deep": (b"[" * 100_000 + b"]" * 100_000, [""]),
    "nested 100,000 objects deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, [""]),
    "arrays that never end": (b"[" * 1_000_000, [""]),
    "a number of 10,000 digits": (b'{"steps": {"say": {"kind": "echo", "data": ' + b"9" * 10_000 + b"}}}", [""]),
    "an exponent of 10,000 digits": (b'{"metadata": {"a": 1e' + b"9" * 10_000 + b"}}", ["/metadata/a"]),
    "NaN": (b'{"steps": {"say": {"kind": "echo", "data": NaN}}}', [""]),
    "Infinity": (b'{"steps": {"say": {"kind": "echo", "data": -Infinity}}}', [""]),
    "1e400": (b'{"steps": {"say": {"kind": "echo", "data": 1e400}}}', ["/steps/say/data"]),
}


@pytest.mark.parametrize("what", FLAWED)
def test_a_flawed_document_is_refused(api: Api, what: str) -> None:
    document, pointers = FLAWED[what]
    with leaving_nothing(api):
        answer = api.acme.post(json=document, headers={"Idempotency-Key": "k"})
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), pointers)


@pytest.mark.parametrize("what", RAW)
def test_a_body_that_is_no_sound_json_is_refused(api: Api, what: str) -> None:
    body, pointers = RAW[what]
    with leaving_nothing(api):
        answer = api.acme.post(content=body, headers={"Content-Type": "application/json", "Idempotency-Key": "k"})
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), pointers)


HINTS: list[tuple[dict[str, Any], str]] = [
    ({**step(), "stpes": {}}, "did you mean 'steps'?"),
    (step(mesage="hi"), "did you mean 'message'?"),
    (resize(widht=3), "did you mean 'width'?"),
    ({"steps": {"say": {"kind": "ecko"}}}, "did you mean 'echo'?"),
    ({"template": "thumbnail"}, "did you mean 'thumbnails'?"),
    (steps(first=[], second=["frist"]), "did you mean 'first'?"),
]


@pytest.mark.parametrize(("document", "hint"), HINTS)
def test_a_misspelt_word_is_answered_with_the_nearest_right_one(api: Api, document: Any, hint: str) -> None:
    assert hint in api.acme.post(json=document).json()["errors"][0]["detail"]


def test_every_flaw_is_told_at_once(api: Api) -> None:
    document = {**steps(a=["a"], b=["x"]), "priority": "urgent", "metadata": 1, "colour": "red"}
    told = api.acme.post(json=document).json()["errors"]
    assert {flaw["pointer"] for flaw in told} == {
        "/steps/a/use/0",
        "/steps/b/use/0",
        "/priority",
        "/metadata",
        "/colour",
    }


FLOODS: dict[str, Any] = {
    "unknown fields": {f"stps{number}": 1 for number in range(40_000)},
    "unknown fields of a step": step(**{f"mess{number}": 1 for number in range(40_000)}),
    "unknown fields of variants": resize(**{f"widht{number}": 1 for number in range(40_000)}),
    "unknown names in one use": {
        "steps": {**{f"step-number-{n}": {"kind": "echo"} for n in range(99)}, "say": {"use": ["step-numbex"] * 40_000}}
    },
    "unknown names in every use": {
        "steps": {f"step-number-{n}": {"use": [f"step-numbe-{m}" for m in range(99)]} for n in range(100)}
    },
}


@pytest.mark.timeout(30)  # told in full, each would take minutes
@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_flaws_is_told_in_part_and_costs_no_time(api: Api, what: str) -> None:
    told = api.acme.post(json=FLOODS[what])
    assert (told.status_code, len(told.json()["errors"]) <= 20) == (422, True)


def test_the_deepest_document_that_may_be_sent_is_accepted(api: Api) -> None:
    depth = MAX_DEPTH - 3
    data = json.loads("[" * depth + "1" + "]" * depth)
    assert api.acme.post(json=step(data=data)).status_code == 202


def test_odd_characters_that_text_may_hold_come_back_as_they_went_in(api: Api) -> None:
    metadata = {"ключ": '\x01\u2028\ufffe\U0001f600 "quoted" \\ /', "": [None, True, -(2**63), 0.1, 1e-300]}
    answer = api.acme.post(json={**step(), "metadata": metadata})
    assert answer.json()["metadata"] == metadata
    assert api.acme.get(answer.headers["location"]).json()["metadata"] == metadata
