"""The API's documents about uploads as frozen dataclasses, and `Millrace.uploads`, which asks for them."""

import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from api.client import downloads
from api.client.answers import Document, Paged, time, understood
from api.client.connection import Connection
from api.client.failures import MillraceError
from api.client.sending import Body, OnSent

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that is kept by itself: `{"input": {"upload": upload.id}}` in a job, `Millrace.image_url` for pictures.

    `expires_at` None: it is kept until it is deleted. `blurhash` and the sides, in pixels, are told of pictures that
    have been looked at.
    """

    id: str
    filename: str
    content_type: str
    bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    blurhash: str | None
    width: int | None
    height: int | None
    links: Mapping[str, str]
    raw: Document = field(repr=False, default_factory=dict)


class Uploads:
    """What a client does with uploads, which are named by their id."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def add(
        self,
        file: Path | BinaryIO,
        *,
        filename: str | None = None,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
        on_sent: OnSent | None = None,
    ) -> Upload:
        """Send a file, to be kept for `expires_in` seconds, default until it is deleted.

        An open file is sent from where it stands; `filename` defaults to its own name. Tried again as `Millrace.submit`
        is. Raises ApiError, ConnectionFailed, MillraceError, and OSError for a file that is not there.
        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)}
        path = "/v1/uploads" if expires_in is None else f"/v1/uploads?expires_in={expires_in}"
        with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as opened:
            name = filename or Path(str(getattr(opened, "name", "upload"))).name
            return upload(self._connection.upload(path, Body(None, opened, name, on_sent), headers))

    def get(self, upload_id: str) -> Upload:
        """What is known of an upload."""
        return upload(self._connection.get(_path(upload_id)))

    def all(self, limit: int | None = None) -> Iterator[Upload]:
        """Your uploads, newest first; at most `limit`, default all."""
        yield from self._paged("/v1/uploads", {}, limit, page)

    def download(self, upload_id: str, target: Path | BinaryIO) -> int:
        """Bring an upload's file back, as `Millrace.download` brings outputs; returns its bytes."""
        return downloads.download(self._connection, f"{_path(upload_id)}/content", target)

    def delete(self, upload_id: str) -> None:
        """Delete an upload; jobs that have not read it yet fail, and links to pictures of it find nothing."""
        self._connection.delete(_path(upload_id))


def upload(document: Any) -> Upload:
    """Read an upload's document. Raises MillraceError where it is none."""
    return understood(_upload, document)


def page(document: Any) -> tuple[Sequence[Upload], str | None]:
    """Read a page of uploads and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_upload(one) for one in it["data"]], it["next_cursor"]), document)


def _upload(it: Document) -> Upload:
    return Upload(
        id=it["id"],
        filename=it["filename"],
        content_type=it["content_type"],
        bytes=it["bytes"],
        sha256=it["sha256"],
        created_at=datetime.fromisoformat(it["created_at"]),
        expires_at=time(it["expires_at"]),
        blurhash=it["blurhash"],
        width=it["width"],
        height=it["height"],
        links=it["links"],
        raw=it,
    )


def _path(upload_id: str) -> str:
    if not _ASKABLE.fullmatch(upload_id):
        raise MillraceError(f"{upload_id!r} is not the id of an upload; they begin with upl_")
    return f"/v1/uploads/{upload_id}"
