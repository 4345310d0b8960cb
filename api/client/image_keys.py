"""The API's documents about image keys as frozen dataclasses, and `Millrace.image_keys`, which asks for them."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, time, understood
from api.client.connection import Connection
from api.client.failures import MillraceError

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageKey:
    """A key that signs links to pictures; from `retired_at` on they open nothing.

    `key` is what it signs with, known only of one that has just been made.
    """

    id: str
    created_at: datetime
    retired_at: datetime | None
    key: str | None = field(repr=False, default=None)
    raw: Document = field(repr=False, default_factory=dict)

    @property
    def signing(self) -> str:
        """Id and key in one, as `image_url` takes it: keep this. Raises MillraceError if the key is not known."""
        if self.key is None:
            raise MillraceError(f"what {self.id} signs with was shown when it was made, and is not shown again")
        return f"{self.id}.{self.key}"


class ImageKeys:
    """What a client does with image keys, which are named by their id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, *, idempotency_key: str | None = None) -> ImageKey:
        """Make a key beside those that you have; keep its `signing`, it is not shown again.

        Tried again as `Millrace.submit` is. Raises ApiError with code too_many_image_keys, secret_key_missing.
        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)}
        return image_key(self._connection.post("/v1/image-keys", b"", headers))

    def list(self) -> Sequence[ImageKey]:
        """All your keys, newest first, without what they sign with."""
        return understood(lambda it: [_image_key(one) for one in it["data"]], self._connection.get("/v1/image-keys"))

    def retire(self, key_id: str, *, at: datetime | None = None) -> ImageKey:
        """Have links that it has signed open nothing from now, or from a time to come, on."""
        wish = {} if at is None else {"at": at.astimezone().isoformat()}
        return image_key(self._connection.post(f"{_path(key_id)}/retire", json.dumps(wish).encode()))

    def delete(self, key_id: str) -> None:
        """Forget a key; links that it has signed open nothing any more."""
        self._connection.delete(_path(key_id))


def image_key(document: Any) -> ImageKey:
    """Read an image key's document. Raises MillraceError where it is none."""
    return understood(_image_key, document)


def _image_key(it: Document) -> ImageKey:
    created_at = datetime.fromisoformat(it["created_at"])
    return ImageKey(id=it["id"], created_at=created_at, retired_at=time(it["retired_at"]), key=it.get("key"), raw=it)


def _path(key_id: str) -> str:
    if "." in key_id:  # not said again: what stands behind the point signs
        raise MillraceError("name an image key by its id alone: what stands before the point, imk_…")
    if not _ASKABLE.fullmatch(key_id):
        raise MillraceError(f"{key_id!r} is not the id of an image key; they begin with imk_")
    return f"/v1/image-keys/{key_id}"
