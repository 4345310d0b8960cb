"""Uploads: files that are kept by themselves, for any number of jobs, until they are deleted or expire.

An upload's object is written before its row, under a removal that writing the row withdraws: see storage.removals.
"""

from typing import Any

from storage import removals
from storage.database import PlatformTx, Tx
from storage.errors import ObjectMissing
from storage.image_model import NewUpload, Upload, UploadId
from storage.keys import upload_key
from storage.model import TenantId

_INSERT = """
INSERT INTO uploads (tenant_id, id, filename, content_type, bytes, sha256, expires_at)
VALUES (%(tenant)s, %(upload)s, %(filename)s, %(content_type)s, %(bytes)s, %(sha256)s,
        now() + make_interval(secs => %(seconds)s))
RETURNING *
"""

_FIND = """
SELECT * FROM uploads
WHERE tenant_id = %(tenant)s AND id = ANY(%(uploads)s) AND (expires_at IS NULL OR expires_at > now())
"""

_PAGE = """
SELECT * FROM uploads
WHERE tenant_id = %(tenant)s AND (expires_at IS NULL OR expires_at > now())
  AND (%(before)s::text IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""

_DESCRIBE = """
UPDATE uploads
SET blurhash = COALESCE(%(blurhash)s, blurhash), width = COALESCE(%(width)s, width),
    height = COALESCE(%(height)s, height)
WHERE tenant_id = %(tenant)s AND id = %(upload)s
RETURNING *
"""

_EXPIRED = """
SELECT tenant_id, id FROM uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""


def expect(tx: Tx, upload_id: UploadId, *, due_in_seconds: float) -> None:
    """Have the upload's object deleted then, unless `insert` writes its row before: call this before the object is put.

    To give an upload up, call it with 0 seconds: an object whose row stands after all is kept.
    """
    removals.plan(tx, upload_id, due_in_seconds=due_in_seconds)


def insert(tx: Tx, new: NewUpload) -> Upload:
    """Write an upload whose object has been put. Raises ObjectMissing if it has been swept away meanwhile."""
    if not removals.withdraw(tx, new.id):
        raise ObjectMissing(upload_key(tx.tenant_id, new.id))
    row = tx.sql(
        _INSERT,
        upload=new.id,
        filename=new.filename,
        content_type=new.content_type,
        bytes=new.bytes,
        sha256=new.sha256,
        seconds=new.expires_in_seconds,
    ).one()
    return _upload(row)


def find(tx: Tx, upload_id: UploadId) -> Upload | None:
    """The tenant's upload; None if there is none, or it has expired."""
    return find_all(tx, [upload_id]).get(upload_id)


def find_all(tx: Tx, upload_ids: list[UploadId]) -> dict[UploadId, Upload]:
    """Those of these uploads that the tenant has and that have not expired."""
    if not upload_ids:
        return {}
    return {found.id: found for found in map(_upload, tx.sql(_FIND, uploads=upload_ids))}


def page(tx: Tx, *, before: UploadId | None, limit: int) -> list[Upload]:
    """At most `limit` of the tenant's uploads, newest first, from below `before`."""
    return [_upload(row) for row in tx.sql(_PAGE, before=before, limit=limit)]


def describe(
    tx: Tx, upload_id: UploadId, *, blurhash: str | None = None, width: int | None = None, height: int | None = None
) -> Upload | None:
    """Note what the picture was seen to be; None leaves what is known. None if the tenant has no such upload."""
    row = tx.sql(_DESCRIBE, upload=upload_id, blurhash=blurhash, width=width, height=height).one_or_none()
    return None if row is None else _upload(row)


def delete(tx: Tx, upload_id: UploadId) -> bool:
    """Delete an upload and give its object to removal; jobs that still wait for it will miss it.

    False if the tenant has no such upload.
    """
    gone = tx.sql("DELETE FROM uploads WHERE tenant_id = %(tenant)s AND id = %(upload)s", upload=upload_id)
    if gone.rowcount:
        removals.plan(tx, upload_id)
    return bool(gone.rowcount)


def forget_old(tx: PlatformTx, *, limit: int) -> int:
    """Delete at most `limit` uploads that have expired; returns how many."""
    expired = tx.sql(_EXPIRED, limit=limit).all()
    for row in expired:
        delete(tx.of(TenantId(row.tenant_id)), UploadId(row.id))
    return len(expired)


def _upload(row: Any) -> Upload:
    return Upload(
        id=UploadId(row.id),
        key=upload_key(row.tenant_id, UploadId(row.id)),
        filename=row.filename,
        content_type=row.content_type,
        bytes=row.bytes,
        sha256=row.sha256,
        created_at=row.created_at,
        expires_at=row.expires_at,
        blurhash=row.blurhash,
        width=row.width,
        height=row.height,
    )
