"""What the OpenAPI document says of webhooks: their requests' schemas, and the headers of answers."""

from typing import Any

from api.webhook_schemas import RedeliverRequest, RotateRequest, WebhookFields, WebhookRequest

Responses = dict[int | str, dict[str, Any]]

ENDPOINT_ID_PATTERN = "^whe_[0-7][0-9a-hjkmnp-tv-z]{25}$"
DELIVERY_ID_PATTERN = "^dlv_[0-7][0-9a-hjkmnp-tv-z]{25}$"

MADE: Responses = {
    201: {
        "description": "The webhook stands, and this is its secret: it is not shown again.",
        "headers": {"Location": {"description": "The webhook's path.", "schema": {"type": "string"}}},
    }
}
SENT: Responses = {
    202: {
        "description": "It is on its way.",
        "headers": {"Location": {"description": "The delivery's path.", "schema": {"type": "string"}}},
    }
}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name; each may have definitions of its own under `$defs`."""
    fields = WebhookFields.model_json_schema(ref_template=ref)["properties"]
    return {
        "WebhookRequest": {
            **WebhookRequest.model_json_schema(ref_template=ref),
            "example": {"url": "https://shop.example/hooks/millrace", "events": ["job.succeeded", "job.failed"]},
        },
        "WebhookPatch": {
            "title": "WebhookPatch",
            "description": "A JSON merge patch (RFC 7396): the fields that change; null sets one back to its default. "
            "`enabled: true` lets a webhook go on that was disabled.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: field if name == "url" else {"anyOf": [_bare(field), {"type": "null"}]}
                for name, field in fields.items()
            },
            "example": {"enabled": True},
        },
        **{model.__name__: model.model_json_schema(ref_template=ref) for model in (RotateRequest, RedeliverRequest)},
    }


def _bare(field: dict[str, Any]) -> dict[str, Any]:
    """The field without its default, which a change does not set."""
    return {name: value for name, value in field.items() if name != "default"}
