"""What the OpenAPI document says beyond what FastAPI reads from the code: errors, bodies, and the kinds of steps."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

from api import (
    batch_openapi,
    image_openapi,
    job_openapi,
    listen_openapi,
    schedule_openapi,
    secret_openapi,
    template_openapi,
    webhook_openapi,
)
from api.caller_openapi import tell_who_calls
from api.job_openapi import REF, plain
from api.operating import ReplayRequest
from api.schemas import EventDocument, Problem, RetryRequest
from api.session_documents import SessionRequest
from tasks.names import TENANT_KINDS, Kind
from tasks.templates import REFERENCE_PATTERN, SHIPPED

Responses = dict[int | str, dict[str, Any]]

# Told to readers of the document; the routes check more, and answer in their own words.
JOB_ID_PATTERN = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"
EVENT_ID_PATTERN = "^[0-9]{1,9}$"
DECISION_PATTERN = "^[1-9][0-9]{0,17}$"
SCHEDULE_ID_PATTERN = "^sch_[0-7][0-9a-hjkmnp-tv-z]{25}$"

ACCEPTED: Responses = {
    202: {
        "description": "The job is stored and will be done.",
        "headers": {"Location": {"description": "The job's path.", "schema": {"type": "string"}}},
    },
    200: {
        "description": "Nothing new: this job has the same unique_key.",
        "headers": {"Location": {"description": "The job's path.", "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobDocument"}}},
    },
}
SIGNED_IN: Responses = {
    200: {
        "description": "Signed in.",
        "headers": {"Set-Cookie": {"description": "millrace_session, HttpOnly.", "schema": {"type": "string"}}},
    }
}
NOT_SIGNED_IN: Responses = {204: {"description": "With `optional`: nobody is signed in."}}
EVENT_STREAM: Responses = {
    200: {
        "description": "The events as they happen.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "Each event: `id` is its number, `event` its type, `data` an EventDocument.",
                    "properties": {
                        "id": {"type": "string", "pattern": EVENT_ID_PATTERN},
                        "event": {"type": "string"},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/EventDocument"},
                        },
                    },
                    "required": ["id", "event", "data"],
                }
            }
        },
    },
    204: {"description": "The job has ended and all its events have been seen."},
}
FILE: Responses = {
    200: {
        "description": "The bytes, of the type that the output says.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    307: {
        "description": "A signed URL of the object store.",
        "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
    },
}


JOB_FILE: Responses = {
    200: {
        "description": "The bytes, of the type that the client said.",
        "content": {"*/*": {}},  # JSON, too
    },
}


def problems(*statuses: int) -> Responses:
    """The error answers of a route: all of them are problem documents."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def body(schema: str, *, required: bool, types: Sequence[str] = ("application/json",)) -> dict[str, Any]:
    """A JSON body that the route reads by itself."""
    content = {one: {"schema": {"$ref": f"#/components/schemas/{schema}"}} for one in types}
    return {"requestBody": {"required": required, "content": content}}


def methods_at(app: FastAPI, path: str) -> list[str]:
    """The methods that the document has for this path, none if it does not know the path."""
    paths = app.openapi()["paths"]
    if path in paths:  # which goes before a template that fits as well
        return sorted(method.upper() for method in paths[path])
    known = (methods for template, methods in paths.items() if compile_path(template)[0].match(path))
    return sorted(method.upper() for methods in known for method in methods)


def submission() -> dict[str, Any]:
    """The body of POST /v1/jobs in its three forms, and what a query may change of the template that it names."""
    job = {"$ref": "#/components/schemas/JobRequest"}
    binary = {"type": "string", "format": "binary"}
    template = {
        "name": "template",
        "in": "query",
        "required": False,
        "description": f"One of yours, or of {', '.join(SHIPPED)}; NAME@2 is a version, NAME the newest. What it lets "
        "change stands beside it, such as `?template=thumbnails&quality=70`; a list has commas.",
        "schema": {"type": "string", "pattern": REFERENCE_PATTERN},
    }
    changes = {
        "name": "with",
        "in": "query",
        "style": "form",
        "explode": True,
        "description": "Beside `template`: what it lets change, each a parameter of its own; a list has commas.",
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return {
        "parameters": [template, changes],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {"job": job, "file": binary},
                        "required": ["job", "file"],
                        "additionalProperties": False,
                    },
                    "encoding": {"job": {"contentType": "application/json"}},
                },
                "application/json": {"schema": job},
                "application/octet-stream": {"schema": binary},
            },
        },
    }


def install(app: FastAPI, kinds: Mapping[str, Kind] = TENANT_KINDS) -> None:
    """Have the app publish the document with the kinds that are installed."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            tell_who_calls(made, app)
            _forget_null(made)
            _answer_who_acts(made)
            schemas = made["components"]["schemas"]
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            schemas |= {
                model.__name__: plain(model.model_json_schema(ref_template=REF), schemas)
                for model in (
                    *(Problem, EventDocument, RetryRequest, ReplayRequest, SessionRequest),
                    *listen_openapi.DOCUMENTS,
                )
            }
            schemas |= job_openapi.request_schemas(kinds, schemas)
            for noun in (
                batch_openapi,
                image_openapi,
                schedule_openapi,
                webhook_openapi,
                secret_openapi,
                template_openapi,
            ):
                schemas |= {name: plain(schema, schemas) for name, schema in noun.request_schemas(REF).items()}
            schemas["StepDocument"]["properties"]["result"] = job_openapi.result_schema(kinds, schemas)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _answer_who_acts(made: dict[str, Any]) -> None:
    """What is answered wherever an operator may name a tenant: there may be none of the name."""
    for operation in (operation for methods in made["paths"].values() for operation in methods.values()):
        if any(parameter["name"] == "tenant" for parameter in operation.get("parameters", ())):
            told = {str(status): answer for status, answer in problems(404, 422).items()}
            own = {status: answer for status, answer in operation["responses"].items() if not _is_frameworks(answer)}
            operation["responses"] = dict(sorted((told | own).items()))


def _is_frameworks(answer: dict[str, Any]) -> bool:
    return "HTTPValidationError" in str(answer)


def _forget_null(made: dict[str, Any]) -> None:
    """A parameter is given or not; null, which FastAPI allows where Python has None, cannot be sent."""
    for operation in (operation for methods in made["paths"].values() for operation in methods.values()):
        for parameter in operation.get("parameters", ()):
            options = [option for option in parameter["schema"].pop("anyOf", ()) if option != {"type": "null"}]
            parameter["schema"] |= options[0] if options else {}
