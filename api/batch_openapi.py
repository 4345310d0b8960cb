"""What the OpenAPI document says of batches: the request in its two forms, and its answer."""

from typing import Any

from tasks.batch_document import MAX_JOBS, MAX_NAME
from tasks.notices import MAX_URL

Responses = dict[int | str, dict[str, Any]]

BATCH_ID_PATTERN = "^bat_[0-7][0-9a-hjkmnp-tv-z]{25}$"
LINE_PATTERN = "^[0-9]{1,9}$"

ACCEPTED: Responses = {
    202: {
        "description": "The batch is stored with all its jobs, which will be done.",
        "headers": {"Location": {"description": "The batch's path.", "schema": {"type": "string"}}},
    }
}

_TERMS: dict[str, Any] = {
    "name": {"type": "string", "maxLength": MAX_NAME, "description": "Yours."},
    "metadata": {"type": "object", "description": "Yours; comes back in the batch's document."},
    "notify": {
        "type": ["object", "null"],
        "description": "Who is told of the batch's end (`batch.finished`), besides your webhooks.",
        "additionalProperties": False,
        "properties": {"url": {"type": "string", "minLength": 1, "maxLength": MAX_URL}},
        "required": ["url"],
    },
    "atomic": {"type": "boolean", "default": False, "description": "All of the jobs are accepted, or none."},
    "defaults": {
        "type": "object",
        "description": "What every job has unless it says otherwise: its document is merged into this (RFC 7396).",
    },
}


def submission() -> dict[str, Any]:
    """The body of POST /v1/batches in its two forms."""
    lines = {
        "type": "string",
        "description": 'A JobRequest on each line. The first line may be {"batch": {…}} with the fields of BatchRequest'
        " but `jobs`.",
    }
    content = {
        "application/x-ndjson": {"schema": lines},
        "application/json": {"schema": {"$ref": "#/components/schemas/BatchRequest"}},
    }
    return {"requestBody": {"required": True, "content": content}}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name."""
    jobs = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_JOBS,
        "items": {"type": "object", "description": "A JobRequest, but for what `defaults` say."},
    }
    return {
        "BatchRequest": {
            "type": "object",
            "title": "BatchRequest",
            "description": "Many jobs at once.",
            "additionalProperties": False,
            "properties": {**_TERMS, "jobs": jobs},
            "required": ["jobs"],
            "example": {
                "name": "catalogue",
                "defaults": {"template": "thumbnails"},
                "jobs": [{"input": {"url": "https://shop.example/1.jpg"}, "metadata": {"sku": "1"}}],
            },
        }
    }
