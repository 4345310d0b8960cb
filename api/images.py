"""`/i/{signature}/{operations}/{upload}`: pictures made on the fly, for everyone who has a signed link."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from api import image_links, image_openapi, openapi
from api.errors import TABLE, Refused, refusal
from api.image_links import Picture, Wanted
from api.placeholder import placeholder
from api.safe_files import SAFE
from api.service import Service, Serving
from storage.errors import ObjectMissing
from storage.model import JobId
from tasks.image_path import MAX_OPERATIONS

MAX_WAIT_SECONDS = 30
YEAR_SECONDS = 365 * 86_400
AGAIN_SECONDS = 1  # after which it is worth asking again
PATH = "/i/{signature}/{operations}/{upload}"

# Pages of any origin may show it, and may read what stands in the answer's headers.
_PUBLIC = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Blurhash, ETag, Link, Retry-After",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_REFUSALS: tuple[type[Exception], ...] = (Refused, *TABLE)
_SUMMARY = "Show a picture, made on the fly"
_ANSWERS = openapi.problems(403, 404, 410, 422, 503) | image_openapi.PICTURE

router = APIRouter(tags=["pictures"])


@router.head(PATH, summary=_SUMMARY, response_class=Response, responses=_ANSWERS)
@router.get(PATH, summary=_SUMMARY, response_class=Response, responses=_ANSWERS)
async def show(
    request: Request,
    service: Serving,
    signature: Annotated[str, Path(json_schema_extra={"pattern": image_openapi.SIGNATURE_PATTERN})],
    operations: Annotated[str, Path(json_schema_extra={"minLength": 1, "maxLength": MAX_OPERATIONS})],
    upload: Annotated[str, Path(json_schema_extra={"pattern": image_openapi.UPLOAD_ID_PATTERN})],
    wait: Annotated[
        float | None,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            allow_inf_nan=False,
            description="answer when the picture is there, or after this many seconds",
        ),
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The picture if it has been made before; else a placeholder, and it is being made. No API key is needed.

    `signature` is the id of an image key, a point, and base64url without padding of HMAC-SHA256 of
    "/{operations}/{upload}" under that key; `operations` are `name:value` with commas between, or `_` for none. See
    docs/on-the-fly.md.
    """
    try:
        wanted, found = await service.blocking(image_links.opened, service, signature, operations, upload)
        made = found or await _made(service, wanted, wait or 0.0)
        if isinstance(made, Picture):
            answer = await _picture(service, wanted, made, if_none_match, is_head=request.method == "HEAD")
            if answer is not None:
                return answer
            made = await service.blocking(image_links.order, service, wanted)
        return _placeholder(service, wanted, made)
    except _REFUSALS as exc:
        refused = exc if isinstance(exc, Refused) else refusal(exc)
        refused.headers |= _PUBLIC | {"Cache-Control": "no-store"}
        raise refused from exc


async def _made(service: Service, wanted: Wanted, seconds: float) -> Picture | JobId:
    """The picture, as soon as it is there, or after so many seconds the job that makes it. Raises Refused."""
    found = await service.blocking(image_links.standing, service, wanted)
    if found is None:
        found = await service.blocking(image_links.order, service, wanted)
    if isinstance(found, Picture) or not seconds:
        return found
    job_id = found
    deadline = asyncio.get_running_loop().time() + seconds
    with service.hub.subscribe(job_id) as woken:
        while True:
            woken.clear()
            now = await service.blocking(image_links.standing, service, wanted)
            left = deadline - asyncio.get_running_loop().time()
            if isinstance(now, Picture):
                return now
            if now != job_id or left <= 0:  # it has ended otherwise, or another one makes it: they may ask again
                return job_id
            try:
                await asyncio.wait_for(woken.wait(), left)
            except TimeoutError:
                continue


async def _picture(
    service: Service, wanted: Wanted, made: Picture, if_none_match: str | None, *, is_head: bool
) -> Response | None:
    """The answer with the picture; None if its object is not there, which is noted."""
    etag = f'"{made.etag}"'
    headers = {"ETag": etag, "Cache-Control": _caching(wanted), **_PUBLIC, **SAFE}
    if if_none_match is not None and _is_among(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    try:
        if is_head:
            headers["Content-Length"] = str((await service.objects.head(made.key)).size)
            return Response(media_type=made.content_type, headers=headers)
        opened = await service.objects.open(made.key)
    except ObjectMissing:
        await service.blocking(image_links.missed, service, wanted, made)
        return None
    headers["Content-Length"] = str(opened.end - opened.start)
    return StreamingResponse(opened.chunks, media_type=made.content_type, headers=headers)


def _placeholder(service: Service, wanted: Wanted, job_id: JobId) -> Response:
    blurhash = wanted.upload.blurhash
    headers: Mapping[str, str] = {
        "Retry-After": str(AGAIN_SECONDS),
        "Cache-Control": "no-store",
        "Link": f'<{service.settings.public_url}/v1/jobs/{job_id}>; rel="monitor"',
        **({} if blurhash is None else {"Blurhash": blurhash}),
        **_PUBLIC,
        **SAFE,
    }
    content = placeholder(blurhash, *_proportions(wanted))
    return Response(content, status_code=202, media_type="image/png", headers=dict(headers))


def _proportions(wanted: Wanted) -> tuple[int, int]:
    """Width and height of the picture to come, as far as they are known; only their ratio counts."""
    variant, upload = wanted.asked.variant, wanted.upload
    if variant.width and variant.height and variant.fit in ("cover", "contain", "fill"):
        return variant.width, variant.height
    width, height = upload.width or 1, upload.height or 1
    return (height, width) if variant.rotate in (90, 270) else (width, height)


def _caching(wanted: Wanted) -> str:
    """For a year, but no longer than the link leads anywhere."""
    seconds: float = YEAR_SECONDS
    if wanted.ends_at is not None:
        seconds = min(seconds, max(0.0, (wanted.ends_at - datetime.now(UTC)).total_seconds()))
    return f"public, max-age={int(seconds)}, immutable"


def _is_among(etag: str, if_none_match: str) -> bool:
    """Whether the header names the tag, or any (RFC 9110, section 13.1.2: weak tags count as strong ones)."""
    told = {one.strip().removeprefix("W/") for one in if_none_match[:8192].split(",")}
    return etag in told or "*" in told
