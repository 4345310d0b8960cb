"""What the OpenAPI document says beyond what FastAPI reads from the code: errors, bodies, and the kinds of steps."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

from api import schedule_openapi
from api.operating import ReplayRequest
from api.schemas import EventDocument, Problem, RetryRequest
from storage.model import UniqueMode
from tasks.conditions import MAX_TEXT
from tasks.document import MAX_DEADLINE_SECONDS, MAX_STOP_MESSAGE, MAX_TTL_SECONDS, MAX_UNIQUE_KEY
from tasks.names import MAX_STEPS, TEMPLATES, TENANT_KINDS, Kind, Priority
from tasks.params import NAME_PATTERN

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
    """The body of POST /v1/jobs in its three forms."""
    job = {"$ref": "#/components/schemas/JobRequest"}
    binary = {"type": "string", "format": "binary"}
    return {
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
        }
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
            _forget_null(made)
            schemas = made["components"]["schemas"]
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            schemas |= {
                model.__name__: _plain(model.model_json_schema(ref_template=_REF), schemas)
                for model in (Problem, EventDocument, RetryRequest, ReplayRequest)
            }
            schemas |= _request_schemas(kinds, schemas)
            schemas |= {
                name: _plain(schema, schemas) for name, schema in schedule_openapi.request_schemas(_REF).items()
            }
            schemas["StepDocument"]["properties"]["result"] = _result_schema(kinds, schemas)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


_REF = "#/components/schemas/{model}"


def _forget_null(made: dict[str, Any]) -> None:
    """A parameter is given or not; null, which FastAPI allows where Python has None, cannot be sent."""
    for operation in (operation for methods in made["paths"].values() for operation in methods.values()):
        for parameter in operation.get("parameters", ()):
            options = [option for option in parameter["schema"].pop("anyOf", ()) if option != {"type": "null"}]
            parameter["schema"] |= options[0] if options else {}


def _plain(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema with its own definitions moved to the document's components."""
    for name, definition in schema.pop("$defs", {}).items():
        components[name] = definition
    return schema


def _request_schemas(kinds: Mapping[str, Kind], components: dict[str, Any]) -> dict[str, Any]:
    steps = {f"Step.{kind.name}": _step_schema(kind, components) for kind in kinds.values()}
    job = {
        "type": "object",
        "description": "What to do: either steps or a template.",
        "additionalProperties": False,
        "properties": {
            "steps": {
                "type": "object",
                "description": "Steps by name; a step starts when every step in its `use` has succeeded.",
                "minProperties": 1,
                "maxProperties": MAX_STEPS,
                "propertyNames": {"pattern": NAME_PATTERN},
                "additionalProperties": {"$ref": "#/components/schemas/StepRequest"},
            },
            "template": {"type": "string", "enum": list(TEMPLATES)},
            "priority": {"type": "string", "enum": [priority.value for priority in Priority], "default": "normal"},
            "metadata": {"type": "object", "description": "Yours; comes back in the job's document."},
            "deadline_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_DEADLINE_SECONDS,
                "description": "What is not done by then is not begun any more: the job ends as expired.",
            },
            "unique_key": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_UNIQUE_KEY,
                "description": "No second job with the same key, for as long as `unique` says.",
            },
            "unique": {
                "description": "Until the job starts, until it ends (default), or for a time from its acceptance on.",
                "oneOf": [
                    {"type": "string", "enum": [UniqueMode.WHILE_QUEUED.value, UniqueMode.WHILE_ACTIVE.value]},
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["ttl_seconds"],
                        "properties": {
                            "ttl_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TTL_SECONDS}
                        },
                    },
                ],
            },
        },
        "dependentRequired": {"unique": ["unique_key"]},
        "oneOf": [{"required": ["steps"]}, {"required": ["template"]}],
        "example": {"template": next(iter(TEMPLATES))},
    }
    step = {
        "oneOf": [{"$ref": _REF.format(model=name)} for name in steps],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind.name: _REF.format(model=f"Step.{kind.name}") for kind in kinds.values()},
        },
    }
    return {**steps, "StepRequest": step, "JobRequest": job}


def _result_schema(kinds: Mapping[str, Kind], components: dict[str, Any]) -> dict[str, Any]:
    """What a step may return: by kind where the kind says so, otherwise anything."""
    told = {f"Result.{kind.name}": kind.result for kind in kinds.values() if kind.result is not None}
    for name, model in told.items():
        components[name] = _plain(model.model_json_schema(ref_template=_REF, mode="serialization"), components)
    return {
        "title": "Result",
        "description": "Null until the step has succeeded, or what is done so far of one that is retrying. `outputs` "
        "lists the files that it made: {name, bytes, content_type, href, …}.",
        "anyOf": [*({"$ref": _REF.format(model=name)} for name in told), {}],
    }


def _step_schema(kind: Kind, components: dict[str, Any]) -> dict[str, Any]:
    schema = _plain(kind.params.model_json_schema(ref_template=_REF), components)
    own = {
        "kind": {"type": "string", "const": kind.name},
        "use": {
            "type": "array",
            "items": {"type": "string", "pattern": NAME_PATTERN},
            "uniqueItems": True,
            "description": "Names of steps of this job that must have succeeded before.",
        },
        "stop_when": {
            "description": "A condition on this step's result that ends the job as failed and withholds its outputs, "
            "such as `moderation.nsfw > 0.8`; or an object with the code and the message of the error.",
            "oneOf": [
                {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["condition"],
                    "properties": {
                        "condition": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
                        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
                        "message": {"type": "string", "minLength": 1, "maxLength": MAX_STOP_MESSAGE},
                    },
                },
            ],
        },
    }
    return {
        **schema,
        "title": kind.name,
        "description": kind.summary,
        "properties": own | schema.get("properties", {}),
        "required": ["kind", *schema.get("required", [])],
    }
