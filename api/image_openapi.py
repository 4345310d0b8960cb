"""What the OpenAPI document says of uploads, image keys and pictures made on the fly: requests, answers, headers."""

from typing import Any

from api.image_schemas import RetireRequest

Responses = dict[int | str, dict[str, Any]]

UPLOAD_ID_PATTERN = "^upl_[0-7][0-9a-hjkmnp-tv-z]{25}$"
IMAGE_KEY_ID_PATTERN = "^imk_[0-7][0-9a-hjkmnp-tv-z]{25}$"
SIGNATURE_PATTERN = "^imk_[0-7][0-9a-hjkmnp-tv-z]{25}[.][A-Za-z0-9_-]{43}$"

_TEXT = {"schema": {"type": "string"}}
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_ETAG = {"description": "A digest of the upload, the operations and the engine.", **_TEXT}
_CACHING = {"description": "For ever, or as long as the link and the upload hold.", **_TEXT}


def _location(what: str) -> dict[str, Any]:
    return {"Location": {"description": f"The {what}'s path.", **_TEXT}}


UPLOADED: Responses = {201: {"description": "The file is stored.", "headers": _location("upload")}}
KEY_MADE: Responses = {
    201: {
        "description": "The key signs from now on; it is not shown again.",
        "headers": {"Cache-Control": {"description": "no-store", **_TEXT}},
    }
}
CONTENT: Responses = {
    200: {"description": "The bytes, of the type that the client said.", "content": {"*/*": _PICTURE}},
    307: {
        "description": "A signed URL of the object store.",
        "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
    },
}
PICTURE: Responses = {
    200: {
        "description": "The picture.",
        "headers": {"ETag": _ETAG, "Cache-Control": _CACHING},
        "content": {"image/*": _PICTURE},
    },
    202: {
        "description": "It is being made: until then, a small blurred picture. Ask again.",
        "headers": {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
            "Blurhash": {"description": "What the placeholder was made of, if that is known by now.", **_TEXT},
            "Link": {"description": "The job that makes it, as `monitor`; reading it needs your API key.", **_TEXT},
        },
        "content": {"image/png": _PICTURE},
    },
    304: {"description": "As `If-None-Match` says, you have it.", "headers": {"ETag": _ETAG}},
}


def file_body() -> dict[str, Any]:
    """The body of POST /v1/uploads in its two forms."""
    binary = {"type": "string", "format": "binary", "minLength": 1}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"], "additionalProperties": False}
    content = {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": binary}}
    return {"requestBody": {"required": True, "content": content}}


def request_schemas(ref: str) -> dict[str, dict[str, Any]]:
    """The schemas by name."""
    return {"RetireRequest": {**RetireRequest.model_json_schema(ref_template=ref), "example": {}}}
