"""What the OpenAPI document says of templates: the request's schema, and the answers to a PUT."""

from typing import Any

from tasks.template_document import OVERRIDE_PATTERN, TemplateRequest
from tasks.templates import NAME_PATTERN

Responses = dict[int | str, dict[str, Any]]

PUT: Responses = {
    200: {"description": "Nothing new: this is what the newest version says."},
    201: {
        "description": "The new version, which jobs that name the template without one use from now on.",
        "headers": {"Location": {"description": "The version's path.", "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TemplateDocument"}}},
    },
}

_EXAMPLE = {
    "description": "A square picture for the shop, and its colours.",
    "steps": {
        "picture": {
            "kind": "image.resize",
            "variants": [{"name": "square", "width": 800, "height": 800, "fit": "cover", "format": "webp"}],
        },
        "look": {"kind": "image.analyze", "features": ["colors"]},
    },
    "overrides": {
        "size": {
            "type": "integer",
            "minimum": 100,
            "maximum": 2000,
            "default": 800,
            "at": ["/picture/variants/0/width", "/picture/variants/0/height"],
        }
    },
}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name; each may have definitions of its own under `$defs`."""
    made = TemplateRequest.model_json_schema(ref_template=ref)
    made["properties"]["steps"]["propertyNames"] = {"pattern": NAME_PATTERN}
    made["properties"]["steps"]["additionalProperties"] = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string"}},
    }
    made["properties"]["overrides"]["propertyNames"] = {"pattern": OVERRIDE_PATTERN}
    return {"TemplateRequest": {**made, "example": _EXAMPLE}}
