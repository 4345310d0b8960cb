"""The published document says all, the same each time, and what it shows as an example is valid."""

import inspect
import json
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from api import jobs
from api.app import create_app
from tasks.document import parse
from tasks.names import TENANT_KINDS
from tasks.templates import SHIPPED
from tests.api import timetable
from tests.api.conftest import Api
from tests.api.serving import settings
from tests.api.timetable import ask

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
OPEN = {f"{method} /v1/session" for method in ("post", "get", "delete")} | {"get /livez", "get /readyz"}


def made() -> dict[str, Any]:
    return create_app(settings(NOWHERE)).openapi()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return made()


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    paths = document["paths"].items()
    return [(f"{method} {path}", operation) for path, methods in paths for method, operation in methods.items()]


def test_the_document_is_the_same_each_time_to_the_byte(document: dict[str, Any], api: Api) -> None:
    assert json.dumps(made()) == json.dumps(document)
    assert api.acme.http.get("/openapi.json").json() == document


def test_every_schema_is_sound_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for name in document["components"]["schemas"]:
        meta.validate(document["components"]["schemas"][name])
    text = json.dumps(document)
    referred = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert referred <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in text


def test_every_answer_but_success_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
        assert "503" in operation["responses"] or name == "get /livez"
        assert operation["summary"], name
        assert operation.get("security") or name in OPEN or " /i/" in name, name


def test_every_kind_and_its_parameters_are_in_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    mapping = schemas["StepRequest"]["discriminator"]["mapping"]
    assert set(mapping) == set(TENANT_KINDS)
    for kind in TENANT_KINDS.values():
        step = schemas[mapping[kind.name].rpartition("/")[2]]
        assert set(step["properties"]) == {"kind", "use", "stop_when", *kind.params.model_fields}
        assert step["additionalProperties"] is False
        assert step["description"] == kind.summary


EXAMPLES: list[Any] = [
    {"steps": {"say": {"kind": "echo", "message": "hello"}}},
    {
        "steps": {"say": {"kind": "echo"}, "again": {"kind": "echo", "use": ["say"], "data": [1, None]}},
        "priority": "low",
    },
    {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320, "format": "webp"}]}}},
    {
        "steps": {"crm": {"kind": "http.call", "url": "https://example.com/in", "body": {"a": 1}}},
        "metadata": {"a": "b"},
    },
    {
        "steps": {
            "look": {
                "kind": "image.analyze",
                "features": ["moderation", "faces"],
                "stop_when": {"condition": "moderation.nsfw > 0.5", "code": "unfit"},
            },
            "cut": {
                "kind": "image.resize",
                "use": ["look"],
                "variants": [{"name": "a", "width": 9, "height": 9, "fit": "cover", "gravity": "face"}],
            },
        }
    },
    {"steps": {"look": {"kind": "image.analyze", "features": ["labels"], "stop_when": "labels.count == 0"}}},
    {"steps": {"what": {"kind": "image.info", "exif": ["GPSInfo"], "page": 2, "stop_when": "megapixels < 0.3"}}},
    *({"template": name} for name in SHIPPED),
    {"template": "responsive@1", "with": {"widths": [320, 640], "quality": 70, "format": "avif"}},
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_we_accept_is_valid_by_the_document(document: dict[str, Any], example: Any) -> None:
    validator(document, "JobRequest").validate(example)
    parse(example)


REFUSED: list[Any] = [
    {},
    {"steps": {}},
    {"steps": {"say": {"kind": "ecko"}}},
    {"steps": {"say": {"kind": "echo", "mesage": 1}}},
    {"steps": {"../say": {"kind": "echo"}}},
    {"steps": {"say": {"kind": "echo"}}, "template": "thumbnails"},
    {"steps": {"say": {"kind": "echo"}}, "priority": "urgent"},
    {"steps": {"say": {"kind": "echo"}}, "colour": 1},
    {"template": "Thumb nails"},
    {"template": "thumbnails@0"},
    {"steps": {"say": {"kind": "echo"}}, "with": {}},
    {"template": "thumbnails", "with": ["quality"]},
    {"steps": {"look": {"kind": "image.analyze", "features": ["labels", "labels"]}}},
    {"steps": {"look": {"kind": "image.analyze", "features": ["smell"]}}},
    {"steps": {"what": {"kind": "image.info", "page": 0}}},
    {"steps": {"say": {"kind": "echo", "stop_when": {"code": "x"}}}},
]


@pytest.mark.parametrize("flawed", REFUSED)
def test_what_we_refuse_is_invalid_by_the_document(document: dict[str, Any], flawed: Any) -> None:
    assert not validator(document, "JobRequest").is_valid(flawed)


def test_every_example_in_it_is_valid(document: dict[str, Any]) -> None:
    found = [
        (name, example)
        for name, schema in document["components"]["schemas"].items()
        for example in [schema.get("example"), *schema.get("examples", [])]
        if example is not None
    ]
    assert ("JobRequest", {"template": "thumbnails", "with": {"quality": 70}}) in found
    for name, example in found:
        validator(document, name).validate(example)


def test_answers_are_valid_by_it(document: dict[str, Any], api: Api) -> None:
    job = api.acme.post(json=EXAMPLES[1])
    validator(document, "JobDocument").validate(job.json())
    validator(document, "JobPage").validate(api.acme.get("/v1/jobs").json())
    validator(document, "Problem").validate(api.acme.post(json={}).json())
    validator(document, "Health").validate(api.acme.get("/readyz").json())


def test_the_result_of_an_analysis_is_in_it(document: dict[str, Any]) -> None:
    found = validator(document, "Result.image.analyze")
    box = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
    used = {"name": "m", "version": "1", "licence": "MIT", "milliseconds": 1.5}
    said = {
        "picture": {"width": 4, "height": 3},
        "objects": [{"name": "cat", "score": 0.9, "box": box}],
        "models": {"objects": used},
        "partial": False,
        "errors": {},
    }
    assert found.is_valid(said)
    assert not found.is_valid({**said, "objects": [{"name": "cat", "score": 0.9}]})
    assert not found.is_valid({**said, "objects": [{"name": "cat", "score": 9, "box": box}]})
    assert not found.is_valid({**said, "smell": []})
    assert {"$ref": "#/components/schemas/Result.image.analyze"} in document["components"]["schemas"]["StepDocument"][
        "properties"
    ]["result"]["anyOf"]


def test_the_result_of_an_info_is_in_it(document: dict[str, Any]) -> None:
    found = validator(document, "Result.image.info")
    said = {"format": "png", "content_type": "image/png", "bytes": 9, "width": 4, "height": 3, "megapixels": 0.0}
    said |= {"orientation": 1, "frames": 2, "pages": 1, "animation": {"seconds": 0.2, "loop": None}}
    said |= {"color_space": "rgb", "bits": 8, "has_alpha": True, "transparent": False, "profile": None}
    said |= {"exif": {"Make": "Lumen"}, "colors": [], "blurhash": "L", "thumbhash": "3Eg=", "phash": "0" * 16}
    assert found.is_valid(said)
    assert not found.is_valid({**said, "width": None})
    assert not found.is_valid({**said, "smell": []})
    assert not found.is_valid({**said, "animation": {"seconds": -1, "loop": 0}})


def test_schedules_are_valid_by_it(document: dict[str, Any], api: Api) -> None:
    asked = document["components"]["schemas"]["ScheduleRequest"]["example"]
    schedule = timetable.made(api.acme, **asked)
    validator(document, "ScheduleDocument").validate(schedule)
    validator(document, "SchedulePage").validate(ask(api.acme, "GET", "").json())
    run = ask(api.acme, "POST", f"/{schedule['id']}/trigger").json()
    validator(document, "RunDocument").validate(run)
    validator(document, "RunPage").validate(ask(api.acme, "GET", f"/{schedule['id']}/runs").json())
    validator(document, "JobDocument").validate(api.acme.get(run["job"]["href"]).json())
    told = ask(api.acme, "POST", "/preview", json=document["components"]["schemas"]["PreviewRequest"]["example"])
    validator(document, "PreviewDocument").validate(told.json())


@pytest.mark.parametrize("field", ["every", "at", "anchor", "job", "colour", "overlap", "max_runs"])
def test_what_we_refuse_of_a_schedule_is_invalid_by_the_document(document: dict[str, Any], field: str) -> None:
    asked = document["components"]["schemas"]["ScheduleRequest"]["example"]
    valid = validator(document, "ScheduleRequest")
    assert valid.is_valid(asked)
    assert valid.is_valid({**asked, "cron": None, "every": 60, "at": None})
    assert not valid.is_valid({**asked, field: {"every": 60, "at": "2099-01-01T00:00:00Z"}.get(field, 0)})


def test_a_change_of_a_schedule_needs_none_of_its_fields(document: dict[str, Any]) -> None:
    valid = validator(document, "SchedulePatch")
    good: list[Any] = [{}, {"cron": "0 4 * * *"}, {"overlap": None, "job": {"priority": "low"}}, {"name": None}]
    bad: list[Any] = [{"state": "paused"}, {"every": 0}, {"overlap": "maybe"}, []]
    assert [valid.is_valid(patch) for patch in good + bad] == [True] * 4 + [False] * 4


def test_the_route_that_reads_its_arguments_by_hand_declares_no_others() -> None:
    """What is declared beside these would stand in the document and never be read."""
    assert list(inspect.signature(jobs.create).parameters) == ["request", "caller", "idempotency_key"]
