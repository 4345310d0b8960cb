"""The documents about uploads and image keys, and how rows become them."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, Field

from storage.image_model import ImageKey, Upload
from tasks.job_document import Document

LONGEST_RETIREMENT = timedelta(days=3650)


class UploadLinks(Document):
    """Where to go on from here."""

    self: str
    content: str


class UploadDocument(Document):
    """A file that is kept by itself, for any number of jobs and pictures."""

    id: str
    filename: str
    content_type: Annotated[str, Field(description="as the client said; it is not believed")]
    bytes: int
    sha256: Annotated[str, Field(description="of its bytes, in hexadecimal digits")]
    created_at: datetime
    expires_at: Annotated[datetime | None, Field(description="null: it is kept until it is deleted")]
    blurhash: Annotated[str | None, Field(description="of a picture that has been looked at")]
    width: Annotated[int | None, Field(description="pixels, of a picture that has been looked at")]
    height: int | None
    links: UploadLinks


class UploadPage(Document):
    """Uploads, newest first; `next_cursor` is null on the last page."""

    data: list[UploadDocument]
    next_cursor: str | None


class ImageKeyDocument(Document):
    """A key that signs addresses of pictures, without itself; from `retired_at` on what it signed opens nothing."""

    id: str
    created_at: datetime
    retired_at: datetime | None


class MadeImageKey(ImageKeyDocument):
    """A new key: `key` is shown this once."""

    key: Annotated[str, Field(description="43 characters; as they stand, they are the key of the HMAC")]


class ImageKeyList(Document):
    """All your keys, newest first, those that are retired among them."""

    data: list[ImageKeyDocument]


class RetireRequest(Document):
    """When a key retires; an empty object, or no body, means: now."""

    at: Annotated[
        AwareDatetime | None, Field(description="a time that has passed means now; at most ten years ahead")
    ] = None


def upload_document(upload: Upload, public_url: str) -> UploadDocument:
    """The upload; links begin with `public_url`."""
    at = f"{public_url}/v1/uploads/{upload.id}"
    return UploadDocument(
        id=upload.id,
        filename=upload.filename,
        content_type=upload.content_type,
        bytes=upload.bytes,
        sha256=upload.sha256,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        blurhash=upload.blurhash,
        width=upload.width,
        height=upload.height,
        links=UploadLinks(self=at, content=f"{at}/content"),
    )


def image_key_document(key: ImageKey) -> ImageKeyDocument:
    """The key without itself."""
    return ImageKeyDocument(id=key.id, created_at=key.created_at, retired_at=key.retired_at)
