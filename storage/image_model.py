"""What uploads, renditions and image keys look like to the rest of the code. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, TypeGuard

from storage.ids import is_id, new_id
from storage.model import TenantId
from storage.sealing import Sealed

UploadId = NewType("UploadId", str)
ImageKeyId = NewType("ImageKeyId", str)
Digest = NewType("Digest", str)  # 64 hexadecimal digits in small letters: see tasks.renditions

_DIGEST = re.compile(r"[0-9a-f]{64}")


def new_upload_id() -> UploadId:
    return UploadId(new_id("upl"))


def new_image_key_id() -> ImageKeyId:
    return ImageKeyId(new_id("imk"))


def is_upload_id(text: str) -> bool:
    """Whether the text is the canonical spelling of an upload's id."""
    return is_id(text, "upl")


def is_image_key_id(text: str) -> bool:
    """Whether the text is the canonical spelling of an image key's id."""
    return is_id(text, "imk")


def is_digest(value: object) -> TypeGuard[Digest]:
    """Whether the value is the spelling of a rendition's digest, or of a SHA-256."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that is kept by itself: its key in the object store, and what the client said of it.

    `sha256` of its bytes, in hexadecimal digits; `width` and `height` in pixels, as stored, and `blurhash` are told of
    pictures that have been looked at. `expires_at` None: it is kept until it is deleted.
    """

    id: UploadId
    key: str
    filename: str
    content_type: str
    bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None
    blurhash: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewUpload:
    """An upload to be written, whose object is there; it expires in so many seconds from now, None: never."""

    id: UploadId
    filename: str
    content_type: str
    bytes: int
    sha256: str
    expires_in_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of a finished picture; sides in pixels of one frame, `engine` as in tasks.images.model.Made."""

    width: int
    height: int
    frames: int
    bytes: int
    content_type: str
    engine: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendition:
    """A finished picture, for all jobs of its tenant whose source, parameters and engine have this digest."""

    digest: Digest
    key: str
    facts: Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageKey:
    """A key that signs addresses of pictures, sealed; from `retired_at` on it opens nothing."""

    tenant_id: TenantId
    id: ImageKeyId
    sealed: Sealed
    created_at: datetime
    retired_at: datetime | None = None
