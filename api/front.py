"""`/`: the page for developers and operators, static files that this package carries."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import page_policy
from api.errors import not_found

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOREVER = "public, max-age=31536000, immutable"  # a changed file has another address
ASK_AGAIN = "no-cache"
HEADERS = {**page_policy.SAME, "Content-Security-Policy": "default-src 'none'"}  # of files, which load nothing
LEAST_COMPRESSED = 1000  # bytes; below that a compressed body saves nothing

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The files as they were when the process started: content by path, and the digest of all of them."""

    digest: str
    files: Mapping[str, "File"]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file's bytes, plain and (where that is worth it) compressed."""

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str


def read(folder: Path = FOLDER) -> Page:
    """Read the page's files; `{digest}` in its HTML becomes the digest of all: changed files have new addresses."""
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }
    summed = hashlib.sha256()
    for name, content in contents.items():
        summed.update(f"{name}\n{len(content)}\n".encode() + content)
    digest = summed.hexdigest()[:16]
    files = {
        name: _file(name, content.replace(b"{digest}", digest.encode()) if name.endswith(".html") else content)
        for name, content in contents.items()
    }
    return Page(digest=digest, files=files)


def _file(name: str, content: bytes) -> File:
    packed = gzip.compress(content, 9, mtime=0) if len(content) >= LEAST_COMPRESSED else None
    digest = hashlib.sha256(content).hexdigest()[:32]
    return File(content=content, packed=packed, media_type=TYPES[Path(name).suffix], etag=f'"{digest}"')


PAGE = read()


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page, each time with another nonce. It asks for nothing until it is told a key."""
    nonce = page_policy.nonce()
    content = PAGE.files["index.html"].content.replace(b"{nonce}", nonce.encode())
    headers = {**page_policy.headers(nonce, images="'self' blob: data:"), "Vary": "Accept-Encoding"}
    return _packed(request, content, gzip.compress(content, 6, mtime=0), TYPES[".html"], headers)


@router.api_route("/page/{digest}/{path:path}", methods=["GET", "HEAD"])
async def file(digest: str, path: str, request: Request) -> Response:
    """A file of the page. Asked for under another version's digest, in the midst of an update, it is not kept."""
    found = PAGE.files.get(path)
    if found is None:
        raise not_found("file")
    return _answer(request, found, FOREVER if digest == PAGE.digest else ASK_AGAIN)


def _answer(request: Request, found: File, cache: str) -> Response:
    headers = {**HEADERS, "Cache-Control": cache, "ETag": found.etag, "Vary": "Accept-Encoding"}
    if found.etag in {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}:
        return Response(status_code=304, headers=headers)
    return _packed(request, found.content, found.packed, found.media_type, headers)


def _packed(
    request: Request, content: bytes, packed: bytes | None, media_type: str, headers: dict[str, str]
) -> Response:
    if packed is None or not _takes_gzip(request.headers.get("Accept-Encoding", "")):
        return Response(content, media_type=media_type, headers=headers)
    return Response(packed, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})


def _takes_gzip(accepted: str) -> bool:
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
