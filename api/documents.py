"""Small JSON bodies: read in bounded memory, checked whole, every flaw named by its place."""

from collections.abc import AsyncIterable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from api.errors import Refused
from tasks.errors import InvalidDocument
from tasks.flaws import flaws_of
from tasks.values import parse_json

FLAWED = "the request has flaws; 'errors' names each place and what to do"

Model = TypeVar("Model", bound=BaseModel)


async def read_document(request: Request, model: type[Model], limit: int) -> Model:
    """The body as a model; an empty body is an empty object. Raises Refused (413, 422)."""
    given = await read_json(request, limit)
    try:
        return model.model_validate_json(to_json(given), strict=True)
    except ValidationError as exc:
        raise Refused(422, "invalid_request", FLAWED, flaws=flaws_of(exc, model, "")) from exc


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON; an empty body is an empty object. Raises Refused (413, 422)."""
    raw = await collect(request.stream(), limit, "the request's document")
    try:
        return parse_json(raw or b"{}")
    except InvalidDocument as exc:
        raise Refused(422, "invalid_request", FLAWED, flaws=exc.flaws) from exc


async def collect(chunks: AsyncIterable[bytes], limit: int, what: str) -> bytes:
    """All the chunks together. Raises Refused (413) above `limit` bytes."""
    collected = bytearray()
    async for chunk in chunks:
        collected += chunk
        if len(collected) > limit:
            raise too_large(what, limit)
    return bytes(collected)


def too_large(what: str, limit: int) -> Refused:
    return Refused(413, "too_large", f"{what} is larger than {limit} bytes, the limit here")
