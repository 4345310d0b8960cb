"""Takes in what a job is made of: the document from the body, the file straight into the object store."""

import hashlib
from collections.abc import AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from fastapi import Request
from pydantic_core import to_json

from api.documents import collect
from api.errors import Refused
from api.multipart import Part, parts
from api.passing import Passing, media_type, refuse_declared_size
from api.service import Service
from api.targets import check_targets
from api.template_query import document_of, with_values
from storage import removals
from storage.keys import input_key
from storage.model import JobId, JobInput, TenantId
from tasks.document import parse
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import nearest
from tasks.input_document import plain_filename
from tasks.own_templates import resolver
from tasks.spec import JobSpec
from tasks.templates import Resolve, owned, shipped
from tasks.values import escape, parse_json

PARTS = ("file", "job")
LARGE_DOCUMENT_BYTES = 8192
ABANDONED_SECONDS = 86_400.0  # after which a file whose job was never written is deleted: no upload takes that long


@dataclass(kw_only=True, slots=True)
class Intake:
    """One request's way in. `keep` is false when the body is only read to be compared with an earlier one."""

    service: Service
    tenant_id: TenantId
    job_id: JobId
    keep: bool = True
    spec: JobSpec | None = None
    file: JobInput | None = None
    fingerprinted: bool = False
    committing: bool = False  # the job's rows are being committed: from here on they may stand
    _stored: bool = False
    _job_digest: bytes = b""

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 over the document and the file, whatever their order in the body; needs `fingerprinted`."""
        of_file = bytes.fromhex(self.file.sha256) if self.file and self.file.sha256 else b""
        return hashlib.sha256(self._job_digest + of_file).digest()

    async def read(self, request: Request) -> JobSpec:
        """Read the whole body; afterwards `file` stands in the object store, if there was one.

        Raises Refused or InvalidDocument; then, and whenever the client goes away, call `discard`.
        """
        content_type = request.headers.get("content-type", "")
        kind, limits = media_type(content_type), self.service.settings
        refuse_declared_size(request, limits.max_upload_bytes, beside=limits.max_job_bytes)
        asked = document_of(request.query_params)
        if asked is not None:
            await self._take_document(to_json(asked), from_query=True)
        if kind == "multipart/form-data":
            await self._read_parts(content_type, request)
        elif asked is not None:
            await self._take_file(request.stream(), filename="upload", content_type=content_type)
        elif kind == "application/json":
            raw = await collect(request.stream(), self.service.settings.max_job_bytes, "the job's document")
            await self._take_document(raw)
        else:
            detail = (
                "send application/json, multipart/form-data with 'file' and 'job', or the bare file with ?template="
            )
            raise Refused(415, "content_type_unsupported", detail)
        if self.spec is None:
            raise _flaw("/job", "the part 'job' is missing: the job's document as JSON, or use ?template=")
        return self.spec

    async def discard(self) -> None:
        """Take back what was stored, if anything was."""
        if self._stored:
            await self.service.objects.delete([input_key(self.tenant_id, self.job_id)])
            await self.service.blocking(self._withdraw_removal)

    async def _read_parts(self, content_type: str, request: Request) -> None:
        async with aclosing(parts(content_type, request.stream())) as received:
            async for part in received:
                await self._take_part(part)

    async def _take_part(self, part: Part) -> None:
        if part.name == "job" and self.spec is None:
            raw = await collect(part.chunks, self.service.settings.max_job_bytes, "the job's document")
            await self._take_document(raw)
        elif part.name == "file" and self.file is None:
            filename = part.filename or "upload"
            await self._take_file(part.chunks, filename=filename, content_type=part.content_type)
        elif part.name in PARTS:
            raise _flaw(f"/{part.name}", f"{part.name!r} is given twice (a template counts as the job)")
        else:
            hint = nearest(part.name, PARTS) or f"; there are: {', '.join(PARTS)}"
            raise _flaw(f"/{escape(part.name[:64])}", f"unknown part{hint}")

    async def _take_document(self, raw: bytes, *, from_query: bool = False) -> None:
        is_large = len(raw) > LARGE_DOCUMENT_BYTES  # checking it may take a while: not on the event loop
        document = await to_thread.run_sync(parse_json, raw) if is_large else parse_json(raw)
        if owned(document) is not None:
            self.spec = await self.service.blocking(self._spec_of_own, document, from_query)
        elif is_large:
            self.spec = await to_thread.run_sync(_spec_of, document, from_query, shipped)
        else:
            self.spec = _spec_of(document, from_query, shipped)
        if self.file is not None:
            _check_takes_file(self.spec)
        check_targets(self.spec, self.service.settings)
        self._job_digest = hashlib.sha256(raw).digest()

    async def _take_file(self, chunks: AsyncIterable[bytes], *, filename: str, content_type: str) -> None:
        if self.spec is not None:
            _check_takes_file(self.spec)
        kind, name = media_type(content_type), plain_filename(filename)
        # Whether it is needed is not known before the document is; it costs half a millisecond per megabyte.
        hashed = self.fingerprinted or self.spec is None or self.spec.shares_results
        passing = Passing(chunks, self.service.settings.max_upload_bytes, hashed=hashed)
        key = input_key(self.tenant_id, self.job_id)
        if self.keep:
            # If this process dies before the job is written, the file is swept away.
            await self.service.blocking(self._plan_removal)
            self._stored = True  # a put that fails takes itself back, but a cancelled one may have come through
            await self.service.objects.put(key, passing, content_type=kind)
        else:
            async for _ in passing:
                pass
        if not passing.size:
            raise _flaw("/file", "the file is empty")
        self.file = JobInput(key=key, filename=name, content_type=kind, bytes=passing.size, sha256=passing.sha256)

    def _spec_of_own(self, document: Any, from_query: bool) -> JobSpec:
        """What comes of one of the tenant's own templates, which is asked for."""
        with self.service.database.read(self.tenant_id) as tx:
            return _spec_of(document, from_query, resolver(tx))

    def _plan_removal(self) -> None:
        with self.service.database.begin(self.tenant_id) as tx:
            removals.plan(tx, self.job_id, due_in_seconds=ABANDONED_SECONDS)

    def _withdraw_removal(self) -> None:
        with self.service.database.begin(self.tenant_id) as tx:
            removals.withdraw(tx, self.job_id)


def _spec_of(document: Any, from_query: bool, templates: Resolve) -> JobSpec:
    return parse(with_values(document, templates) if from_query else document, templates=templates)


def _check_takes_file(spec: JobSpec) -> None:
    """Raise InvalidDocument if the document says where the job's file is."""
    if spec.upload is not None:
        raise _flaw("/input", "this job's file is an upload: leave out either 'input' or the file")
    if spec.fetches_input:
        raise _flaw("/input", "this job's file is fetched from a URL: leave out either 'input' or the file")


def _flaw(pointer: str, detail: str) -> InvalidDocument:
    return InvalidDocument([Flaw(pointer=pointer, detail=detail)])
