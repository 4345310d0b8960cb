"""A job whose file is to be fetched from a URL: which steps wait for it, and every flaw by its place."""

from typing import Any

import pytest

from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.fetch_params import InputFetch
from tasks.names import MAX_STEPS, Queue
from tasks.spec import JobSpec, check_needs_no_file

URL = "https://files.example/a.jpg?sig=x"
SMALL = {"kind": "image.resize", "variants": [{"name": "small", "width": 32}]}
LOOK = {"kind": "image.analyze", "features": ["labels"]}
CALL = {"kind": "http.call", "url": "https://crm.example/"}


def document(steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"input": {"url": URL, **given}, "steps": steps}


def flaws(asked: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as refused:
        parse(asked)
    return [(flaw.pointer, flaw.detail) for flaw in refused.value.flaws]


def linked(spec: JobSpec) -> dict[str, tuple[tuple[str, ...], str | None]]:
    return {step.name: (step.use, step.file_from) for step in spec.steps}


def test_a_step_of_its_own_fetches_and_those_that_need_the_file_use_it() -> None:
    spec = parse(document({"small": SMALL, "say": {"kind": "echo"}, "look": {**LOOK, "use": ["say"]}}))
    assert linked(spec) == {
        "input": ((), None),
        "small": (("input",), "input"),
        "say": ((), None),
        "look": (("say", "input"), "input"),
    }
    fetch = spec.steps[0]
    assert (fetch.kind.name, fetch.kind.queue, fetch.params["url"]) == ("input.fetch", Queue.CALLS, URL)
    assert fetch.kind.makes(fetch.checked)
    assert spec.fetches_input
    check_needs_no_file(spec)


def test_a_step_works_on_what_another_one_makes_as_ever() -> None:
    spec = parse(document({"small": SMALL, "smaller": {**SMALL, "use": ["small"]}}))
    assert linked(spec)["smaller"] == (("small",), "small")


def test_any_step_may_name_the_input_itself() -> None:
    spec = parse(document({"crm": {**CALL, "use": ["input"], "file": {"step": "input"}}}))
    assert linked(spec)["crm"] == (("input",), "input")
    both = document({"small": SMALL, "other": {**SMALL, "use": ["small", "input"]}})
    [(pointer, detail)] = flaws(both)
    assert pointer == "/steps/other/use"
    assert "at most one step that makes files" in detail


def test_a_job_whose_steps_need_no_file_fetches_it_all_the_same() -> None:
    assert linked(parse(document({"say": {"kind": "echo"}}))) == {"input": ((), None), "say": ((), None)}


def test_templates_work_on_it_and_an_analysis_is_of_the_same_file() -> None:
    spec = parse({"template": "portrait", "input": {"url": URL}})
    assert linked(spec) == {
        "input": ((), None),
        "look": (("input",), "input"),
        "avatar": (("look", "input"), "input"),
    }


def test_a_gravity_asks_for_an_analysis_of_the_same_file() -> None:
    variant = {"name": "v", "width": 9, "height": 9, "fit": "cover", "gravity": "face"}
    faces = {"kind": "image.analyze", "features": ["faces"]}
    crop = {"kind": "image.resize", "variants": [variant], "use": ["look"]}
    of_another = {"small": SMALL, "look": {**faces, "use": ["small"]}, "crop": crop}
    [(pointer, detail)] = flaws(document(of_another))
    assert pointer == "/steps/crop/use"
    assert "works on the same file" in detail


@pytest.mark.parametrize(
    ("steps", "given", "types"),
    [
        ({"small": SMALL}, {}, ["!application/xhtml+xml", "!text/html"]),
        ({"say": {**CALL, "use": ["input"]}}, {}, None),
        ({"small": SMALL}, {"types": ["image/*"]}, ["image/*"]),
        ({"small": SMALL}, {"types": ["*/*"]}, ["*/*"]),
    ],
    ids=["a picture", "any file", "told which", "told any"],
)
def test_a_web_page_is_no_picture_unless_the_job_says_so(
    steps: dict[str, Any], given: dict[str, Any], types: list[str] | None
) -> None:
    fetch = parse(document(steps, **given)).steps[0]
    assert fetch.params.get("types") == types
    assert isinstance(fetch.checked, InputFetch)
    assert fetch.checked.types == types


@pytest.mark.parametrize(
    ("types", "taken", "refused"),
    [
        (None, ["text/html", "image/png"], []),
        (["image/*"], ["image/png", "image/svg+xml"], ["text/html", "application/octet-stream"]),
        (["Image/PNG", "video/mp4"], ["image/png", "video/mp4"], ["image/jpeg"]),
        (["!text/html"], ["image/png", "text/plain"], ["text/html"]),
        (["image/*", "!image/svg+xml"], ["image/png"], ["image/svg+xml", "text/html"]),
        (["*/*"], ["text/html"], []),
    ],
)
def test_types_say_what_is_taken(types: list[str] | None, taken: list[str], refused: list[str]) -> None:
    params = InputFetch(url=URL, types=types)
    assert [one for one in (*taken, *refused) if params.takes(one)] == taken


BAD: dict[str, tuple[Any, str, str]] = {
    "no object": ("https://files.example/", "/input", 'such as {"url"'),
    "null": (None, "/input", 'such as {"url"'),
    "no URL": ({}, "/input/url", "required"),
    "another scheme": ({"url": "ftp://files.example/"}, "/input/url", "http:// or https://"),
    "a user": ({"url": "https://me:pw@files.example/"}, "/input/url", "user name"),
    "a space": ({"url": "https://files.example/a b"}, "/input/url", "percent-encode"),
    "an odd address": ({"url": "http://127.1/"}, "/input/url", "odd spelling"),
    "an expression in the URL": ({"url": "https://files.example/{{job.id}}"}, "/input/url", "is not filled in"),
    "a header with a line break": ({"url": URL, "headers": {"A": "b\r\nC: d"}}, "/input/headers/A", "match"),
    "a secret without a name": ({"url": URL, "headers": {"A": "{{secrets.}}"}}, "/input/headers/A", ""),
    "another root": ({"url": URL, "headers": {"A": "{{job.id}}"}}, "/input/headers/A", "job"),
    "a file's name with a folder": ({"url": URL, "filename": "a/b"}, "/input/filename", "match"),
    "no bytes": ({"url": URL, "max_bytes": 0}, "/input/max_bytes", "greater than or equal to 1"),
    "no types": ({"url": URL, "types": []}, "/input/types", "at least 1"),
    "a type that is none": ({"url": URL, "types": ["picture"]}, "/input/types/0", "match"),
    "an unknown field": ({"url": URL, "header": {}}, "/input/header", "did you mean 'headers'"),
}


@pytest.mark.parametrize("what", BAD)
def test_each_flaw_is_named_by_its_place(what: str) -> None:
    given, pointer, words = BAD[what]
    [found] = flaws({"input": given, "steps": {"small": SMALL, "crm": {**CALL, "use": ["input"]}}})
    assert found[0] == pointer
    assert words in found[1]


def test_no_other_step_may_have_its_name() -> None:
    [(pointer, detail)] = flaws(document({"input": SMALL}))
    assert pointer == "/steps/input"
    assert "give this one another" in detail
    assert parse({"steps": {"input": {"kind": "echo"}}}).steps[0].kind.name == "echo"


def test_it_counts_as_a_step() -> None:
    most = {f"s{number}": {"kind": "echo"} for number in range(MAX_STEPS)}
    [(pointer, detail)] = flaws(document(most))
    assert pointer == "/steps"
    assert "at most 100" in detail
    del most["s0"]
    assert len(parse(document(most)).steps) == MAX_STEPS


def test_without_an_input_there_is_no_such_step() -> None:
    assert flaws({"steps": {"crm": {**CALL, "use": ["input"]}}}) == [("/steps/crm/use/0", "there is no step 'input'")]


def test_a_job_may_fetch_more_files_with_steps_of_their_own() -> None:
    fetch = {"kind": "input.fetch", "url": URL, "headers": {"A": "{{secrets.a}}"}}
    spec = parse({"steps": {"left": fetch, "small": {**SMALL, "use": ["left"]}}})
    assert linked(spec)["small"] == (("left",), "left")
    assert not spec.fetches_input
    wrong = {"steps": {"left": {**fetch, "headers": {"A": "{{step.id}}"}}}}
    assert [pointer for pointer, _ in flaws(wrong)] == ["/steps/left/headers/A"]
