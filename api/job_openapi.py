"""What the OpenAPI document says of a job's document: the kinds of steps, their parameters and results."""

from collections.abc import Mapping
from typing import Any

from api.image_openapi import UPLOAD_ID_PATTERN
from storage.unique_model import UniqueMode
from storage.webhook_model import ENDS, OF_JOBS
from tasks.conditions import MAX_TEXT
from tasks.document import MAX_DEADLINE_SECONDS, MAX_STOP_MESSAGE, MAX_TTL_SECONDS, MAX_UNIQUE_KEY
from tasks.fetch_params import InputFetch
from tasks.names import MAX_STEPS, Kind, Priority
from tasks.notices import MAX_URL
from tasks.params import NAME_PATTERN
from tasks.template_document import MAX_OVERRIDES, OVERRIDE_PATTERN
from tasks.templates import REFERENCE_PATTERN, SHIPPED

REF = "#/components/schemas/{model}"


def plain(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema with its own definitions moved to the document's components."""
    for name, definition in schema.pop("$defs", {}).items():
        components[name] = definition
    return schema


def request_schemas(kinds: Mapping[str, Kind], components: dict[str, Any]) -> dict[str, Any]:
    """The schemas of a job's document and of a step of every kind; what these need is added to the components."""
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
            "template": {
                "type": "string",
                "pattern": REFERENCE_PATTERN,
                "description": f"One of yours, or of {', '.join(SHIPPED)}; NAME@2 is a version, NAME the newest.",
            },
            "with": {
                "type": "object",
                "maxProperties": MAX_OVERRIDES,
                "propertyNames": {"pattern": OVERRIDE_PATTERN},
                "description": "What is changed of the template; GET /v1/templates/{name} says what it lets change.",
            },
            "input": {"$ref": REF.format(model="InputRequest")},
            "priority": {"type": "string", "enum": [priority.value for priority in Priority], "default": "normal"},
            "metadata": {"type": "object", "description": "Yours; comes back in the job's document."},
            "deadline_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_DEADLINE_SECONDS,
                "description": "What is not done by then is not begun any more: the job ends as expired.",
            },
            "notify": _notify_schema(),
            "unique_key": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_UNIQUE_KEY,
                "description": "No second job with the same key, for as long as `unique` says.",
            },
            "unique": _unique_schema(),
        },
        "dependentRequired": {"unique": ["unique_key"], "with": ["template"]},
        "oneOf": [{"required": ["steps"]}, {"required": ["template"]}],
        "example": {"template": "thumbnails", "with": {"quality": 70}},
    }
    step = {
        "oneOf": [{"$ref": REF.format(model=name)} for name in steps],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind.name: REF.format(model=f"Step.{kind.name}") for kind in kinds.values()},
        },
    }
    return {**steps, **_input_schemas(components), "StepRequest": step, "JobRequest": job}


def _notify_schema() -> dict[str, Any]:
    """Who is told of a job."""
    return {
        "type": "object",
        "description": "Who is told of the job's end, besides your webhooks.",
        "additionalProperties": False,
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "format": "uri", "maxLength": MAX_URL},
            "events": {
                "type": "array",
                "items": {"type": "string", "enum": [event.value for event in OF_JOBS]},
                "minItems": 1,
                "uniqueItems": True,
                "default": [event.value for event in ENDS],
            },
        },
    }


def _unique_schema() -> dict[str, Any]:
    """For how long a job keeps others with its key away."""
    return {
        "description": "Until the job starts, until it ends (default), or for a time from its acceptance on.",
        "oneOf": [
            {"type": "string", "enum": [UniqueMode.WHILE_QUEUED.value, UniqueMode.WHILE_ACTIVE.value]},
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["ttl_seconds"],
                "properties": {"ttl_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TTL_SECONDS}},
            },
        ],
    }


def result_schema(kinds: Mapping[str, Kind], components: dict[str, Any]) -> dict[str, Any]:
    """What a step may return: by kind where the kind says so, otherwise anything."""
    told = {f"Result.{kind.name}": kind.result for kind in kinds.values() if kind.result is not None}
    for name, model in told.items():
        components[name] = plain(model.model_json_schema(ref_template=REF, mode="serialization"), components)
    return {
        "title": "Result",
        "description": "Null until the step has succeeded, or what is done so far of one that is retrying. `outputs` "
        "lists the files that it made: {name, bytes, content_type, href, …}.",
        "anyOf": [*({"$ref": REF.format(model=name)} for name in told), {}],
    }


def _input_schemas(components: dict[str, Any]) -> dict[str, Any]:
    by_url = plain(InputFetch.model_json_schema(ref_template=REF), components)
    fetched = "A step of its own, named `input`, fetches the file, and every step that needs it waits for that."
    by_upload = {
        "title": "Input by upload",
        "description": "A file that was sent before, see POST /v1/uploads.",
        "type": "object",
        "properties": {"upload": {"type": "string", "pattern": UPLOAD_ID_PATTERN}},
        "required": ["upload"],
        "additionalProperties": False,
    }
    either = [{"$ref": REF.format(model=name)} for name in ("InputByUrl", "InputByUpload")]
    whole = {"title": "Input", "description": "Where the job's file is, instead of sending it.", "oneOf": either}
    return {
        "InputByUrl": {**by_url, "title": "Input by URL", "description": fetched},
        "InputByUpload": by_upload,
        "InputRequest": whole,
    }


def _step_schema(kind: Kind, components: dict[str, Any]) -> dict[str, Any]:
    schema = plain(kind.params.model_json_schema(ref_template=REF), components)
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
