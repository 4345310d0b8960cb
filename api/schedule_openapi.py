"""What the OpenAPI document says of schedules: their requests' schemas, and the headers of answers."""

from typing import Any

from pydantic import BaseModel

from api.schedule_schemas import BackfillRequest, PauseRequest, PreviewOptions, TriggerRequest
from tasks.schedule_document import RULES, ScheduleDocument

Responses = dict[int | str, dict[str, Any]]

_ETAG = {"ETag": {"description": "The schedule's version, for If-Match.", "schema": {"type": "string"}}}

MADE: Responses = {
    201: {
        "description": "The schedule is stored and will fire.",
        "headers": {"Location": {"description": "The schedule's path.", "schema": {"type": "string"}}, **_ETAG},
    }
}
VERSIONED: Responses = {200: {"description": "The schedule as it stands.", "headers": _ETAG}}
TRIGGERED: Responses = {
    202: {
        "description": "What became of the firing: not always a job is started at once.",
        "headers": {"Location": {"description": "The job's path, if one was started.", "schema": {"type": "string"}}},
    }
}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name; each may have definitions of its own under `$defs`."""
    asked = _schema(ScheduleDocument, ref)
    options = _schema(PreviewOptions, ref)
    fields = asked["properties"]
    job = {"allOf": [{"$ref": ref.format(model="JobRequest")}], "description": fields["job"]["description"]}
    fields |= {"job": job}
    return {
        "ScheduleRequest": {
            **asked,
            "title": "ScheduleRequest",
            "oneOf": _ONE_RULE,
            "example": {
                "name": "nightly",
                "cron": "0 3 * * *",
                "timezone": "Europe/Berlin",
                "job": {"steps": {"say": {"kind": "echo", "message": "It is {{schedule.local_time}}."}}},
            },
        },
        "SchedulePatch": {
            "title": "SchedulePatch",
            "description": "A JSON merge patch (RFC 7396): the fields that change; null sets one back to its default. "
            "One of cron, every and at takes the place of the one that was there.",
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"anyOf": [_bare(field), {"type": "null"}]} for name, field in fields.items()}
            | {"job": {"type": "object", "description": "What changes of the job's document."}},
            "example": {"cron": "0 4 * * *"},
        },
        "PreviewRequest": {
            **asked,
            "title": "PreviewRequest",
            "description": "The fields of a schedule, a job being optional, and what is to be told.",
            "properties": {
                **fields,
                **options["properties"],
                "job": {"type": "object", "description": "May be left out."},
            },
            "required": [],  # not even a job
            "oneOf": _ONE_RULE,
            "example": {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "count": 3},
        },
        **{model.__name__: _schema(model, ref) for model in (PauseRequest, TriggerRequest, BackfillRequest)},
    }


# Null stands for what is not given.
_ONE_RULE = [
    {
        "required": [rule],
        "properties": {
            rule: {"not": {"type": "null"}},
            **{other: {"type": "null"} for other in RULES if other != rule},
        },
    }
    for rule in RULES
]


def _schema(model: type[BaseModel], ref: str) -> dict[str, Any]:
    return model.model_json_schema(ref_template=ref)


def _bare(field: dict[str, Any]) -> dict[str, Any]:
    """The field without its default, which a change does not set."""
    return {name: value for name, value in field.items() if name != "default"}
