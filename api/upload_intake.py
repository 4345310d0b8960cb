"""Takes an upload in: the file straight into the object store, then its row; a request that fails leaves nothing."""

import hashlib
import json
import logging
from collections.abc import AsyncIterable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field

from fastapi import Request

from api.documents import FLAWED
from api.errors import Refused
from api.idempotent import Held
from api.image_schemas import upload_document
from api.multipart import parts
from api.passing import Passing, media_type, refuse_declared_size
from api.service import Service
from storage import audit, uploads
from storage.errors import StorageError
from storage.image_model import NewUpload, UploadId, new_upload_id
from storage.keys import upload_key
from storage.model import Json, Principal, TenantId
from tasks.errors import Flaw
from tasks.flaws import nearest
from tasks.input_document import plain_filename
from tasks.values import escape

ABANDONED_SECONDS = 86_400.0  # after which a file whose row was never written is deleted: no upload takes that long
PART = "file"

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class UploadIntake:
    """One upload's way in. `keep` is false when the body is only read to be compared with an earlier one."""

    service: Service
    caller: Principal
    expires_in: int | None
    keep: bool = True
    id: UploadId = field(default_factory=new_upload_id)
    new: NewUpload | None = None
    expected: bool = False

    @property
    def tenant_id(self) -> TenantId:
        return self.caller.tenant_id

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 over what the request asked for; once it has been read."""
        assert self.new is not None
        told = ["uploads", self.new.filename, self.new.content_type, self.new.sha256, self.expires_in]
        return hashlib.sha256(json.dumps(told).encode()).digest()

    async def read(self, request: Request) -> None:
        """Read the whole body; afterwards the file stands in the object store, if it is to be kept. Raises Refused."""
        refuse_declared_size(request, self.service.settings.max_upload_bytes)
        content_type = request.headers.get("content-type", "")
        if media_type(content_type) == "multipart/form-data":
            async with aclosing(parts(content_type, request.stream())) as received:
                async for part in received:
                    if part.name != PART:
                        hint = nearest(part.name, [PART]) or f"; there is: {PART}"
                        raise _flawed(f"/{escape(part.name[:64])}", f"unknown part{hint}")
                    if self.new is not None:
                        raise _flawed(f"/{PART}", f"{PART!r} is given twice; one upload is one file")
                    await self._take(part.chunks, filename=part.filename or "upload", told_type=part.content_type)
        else:
            await self._take(request.stream(), filename="upload", told_type=content_type)
        if self.new is None:
            raise _flawed(f"/{PART}", f"the part {PART!r} is missing")

    async def _take(self, chunks: AsyncIterable[bytes], *, filename: str, told_type: str) -> None:
        passing = Passing(chunks, self.service.settings.max_upload_bytes)
        kind = media_type(told_type)
        if self.keep:
            # If this process dies before the row is written, the file is swept away.
            await self.service.blocking(self._expect, ABANDONED_SECONDS)
            self.expected = True
            await self.service.objects.put(upload_key(self.tenant_id, self.id), passing, content_type=kind)
        else:
            async for _ in passing:
                pass
        if not passing.size:
            raise _flawed(f"/{PART}", "the file is empty")
        assert passing.sha256 is not None
        self.new = NewUpload(
            id=self.id,
            filename=plain_filename(filename),
            content_type=kind,
            bytes=passing.size,
            sha256=passing.sha256,
            expires_in_seconds=self.expires_in,
        )

    async def give_up(self) -> None:
        """Have what was stored swept away now; an upload whose row stands after all keeps its file."""
        if self.expected:
            await self.service.blocking(self._expect, 0)

    def _expect(self, seconds: float) -> None:
        with self.service.database.begin(self.tenant_id) as tx:
            uploads.expect(tx, self.id, due_in_seconds=seconds)


async def accept(request: Request, intake: UploadIntake, held: Held | None) -> Json:
    """Read the request, write the upload and return its document. Raises what `read` and uploads.insert raise."""
    try:
        async with held.renewed() if held else nullcontext():
            await intake.read(request)
    except BaseException:
        await intake.service.to_its_end(_undo(intake, held))
        raise
    # From here on a request that is cut off changes nothing: the upload is written, or refused, to the end.
    return await intake.service.to_its_end(_write(intake, held))


async def _write(intake: UploadIntake, held: Held | None) -> Json:
    try:
        return await intake.service.blocking(_store, intake, held)
    except Exception:
        await _undo(intake, held)
        raise


def _store(intake: UploadIntake, held: Held | None) -> Json:
    assert intake.new is not None
    with intake.service.database.begin(intake.tenant_id) as tx:
        written = uploads.insert(tx, intake.new)
        document = upload_document(written, intake.service.settings.public_url).model_dump(mode="json")
        if held is not None:
            held.answer(tx, intake.fingerprint, document)
        audit.note_work(tx, intake.caller, "upload.create", intake.id)
    return document


async def _undo(intake: UploadIntake, held: Held | None) -> None:
    """Leave nothing of a request that failed; what cannot be undone now undoes itself: the file in a day."""
    for undo in (intake.give_up, *([held.release] if held else [])):
        try:
            await undo()
        except StorageError as exc:
            log.warning("upload.undo_failed reason=%s", exc)


def _flawed(pointer: str, detail: str) -> Refused:
    return Refused(422, "invalid_request", FLAWED, flaws=[Flaw(pointer=pointer, detail=detail)])
