"""What the OpenAPI document says of secrets: their requests' schemas, and the headers of answers."""

from typing import Any

from api.secret_schemas import SecretRequest, SecretValue

Responses = dict[int | str, dict[str, Any]]

_LOCATION = {"Location": {"description": "The secret's path.", "schema": {"type": "string"}}}

MADE: Responses = {201: {"description": "The secret is kept, sealed.", "headers": _LOCATION}}
PUT: Responses = {
    200: {"description": "The new value is kept in place of the one before."},
    201: {
        "description": "The secret is kept, sealed.",
        "headers": _LOCATION,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SecretDocument"}}},
    },
}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name."""
    return {
        "SecretRequest": {
            **SecretRequest.model_json_schema(ref_template=ref),
            "example": {"name": "crm", "value": "the-token-of-the-crm"},
        },
        "SecretValue": {
            **SecretValue.model_json_schema(ref_template=ref),
            "example": {"value": "the-token-of-the-crm"},
        },
    }
