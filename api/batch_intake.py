"""Takes a batch in: its lines are looked at group by group as they come, and written together when all are there."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from anyio import to_thread
from fastapi import Request

from api.batch_bodies import all_flaws, flawed, head, lines_of, parts
from api.batch_documents import FIRST_ERRORS, batch_document
from api.batch_spool import BatchSpool, busy, new_spool
from api.documents import collect, too_large
from api.errors import Refused
from api.idempotent import Held
from api.passing import media_type
from api.service import Service
from api.targets import check_targets
from storage import audit, batches
from storage.batch_ids import BatchId, new_batch_id
from storage.batch_model import LineError
from storage.errors import StorageError
from storage.model import JobId, Json, Principal
from storage.unique_model import Unique
from tasks.addresses import check_url
from tasks.batch import Counted, Draft, drafted, submit_batch
from tasks.batch_document import MAX_BYTES, MAX_JOBS, MAX_STEPS, MAX_WRITTEN_BYTES, Terms
from tasks.batch_lines import Line, Lines
from tasks.errors import Flaw
from tasks.spec import JobSpec

LINE_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
MAX_DOCUMENT_BYTES = 8 * 1024**2  # of a batch as one JSON document, which is read whole
GROUP_LINES = 200  # that are looked at together,
GROUP_BYTES = 1_000_000  # or fewer, if they are long
EMPTY = "a batch has at least one job: send one JSON document a line, or a JSON document with 'jobs'"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the query says of the batch, which goes before what the body says."""

    atomic: bool | None = None
    name: str | None = None
    template: str | None = None

    def over(self, terms: Terms) -> Terms:
        return replace(
            terms,
            atomic=terms.atomic if self.atomic is None else self.atomic,
            name=terms.name if self.name is None else self.name,
            defaults=terms.defaults if self.template is None else {**terms.defaults, "template": self.template},
        )


@dataclass(kw_only=True, slots=True)
class BatchIntake:
    """One request's way in. `keep` is false when the body is only read to be compared with an earlier one."""

    service: Service
    caller: Principal
    wish: Wish
    keep: bool = True
    batch_id: BatchId = field(default_factory=new_batch_id)
    terms: Terms = field(default_factory=Terms)
    seen: int = 0  # lines but for empty ones and the first, where that says how
    drafted: int = 0
    keys: list[tuple[Unique, JobId, int]] = field(default_factory=list)
    spool: BatchSpool | None = None
    _steps: int = 0
    _charged: int = 0  # bytes of the room that the batches of this process share
    _waiting: list[Line] = field(default_factory=list)
    _waiting_bytes: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 over the body and what the query says."""
        asked = json.dumps(["batch", self.wish.atomic, self.wish.name, self.wish.template])
        return hashlib.sha256(asked.encode() + self._digest.digest()).digest()

    @property
    def refused(self) -> int:
        return self.seen - self.drafted

    async def read(self, request: Request) -> None:
        """Read the whole body; afterwards the spool has what is to be written. Raises Refused."""
        self.terms = self.wish.over(Terms())
        declared = request.headers.get("content-length", "")
        kind = media_type(request.headers.get("content-type", ""))
        limit = MAX_DOCUMENT_BYTES if kind == "application/json" else MAX_BYTES
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
            raise too_large("the batch", limit)
        if self.keep:
            self.spool = new_spool(self.service.settings.cache_dir)
        if kind in LINE_TYPES:
            await self._read_lines(request)
        elif kind == "application/json":
            await self._read_document(request)
        else:
            detail = "send application/x-ndjson, a job's document on each line, or application/json with 'jobs'"
            raise Refused(415, "content_type_unsupported", detail)
        if self.keep:
            await self._look()
            self._decide()

    def close(self) -> None:
        """Forget what was read."""
        if self.spool is not None:
            self.service.batch_room.give_back(self._charged)
            self.spool.close()
            self.spool = None

    async def _read_lines(self, request: Request) -> None:
        lines, size = Lines(self.service.settings.max_job_bytes), 0
        async for piece in request.stream():
            size += len(piece)
            if size > MAX_BYTES:
                raise too_large("the batch", MAX_BYTES)
            self._digest.update(piece)
            if self.keep:
                await self._take_all(self._without_head(lines.feed(piece)))
        if self.keep:
            await self._take_all(self._without_head(lines.end()))

    async def _read_document(self, request: Request) -> None:
        raw = await collect(request.stream(), MAX_DOCUMENT_BYTES, "the batch")
        self._digest.update(raw)
        if self.keep:
            terms, listed = await to_thread.run_sync(parts, raw)
            self._agree(terms)
            # One by one, so that no second copy of all of them is made.
            await self._take_all(lines_of(listed, self.service.settings.max_job_bytes))

    async def _take_all(self, lines: Iterator[Line]) -> None:
        for line in lines:
            self.seen += 1
            if self.seen > MAX_JOBS:
                detail = f"a batch has at most {MAX_JOBS} jobs; send the others in another one"
                raise Refused(413, "too_many_jobs", detail)
            self._waiting.append(line)
            self._waiting_bytes += len(line.raw or b"")
            if len(self._waiting) >= GROUP_LINES or self._waiting_bytes >= GROUP_BYTES:
                await self._look()

    def _without_head(self, lines: Iterator[Line]) -> Iterator[Line]:
        for line in lines:
            if line.number == 1 and (terms := head(line)) is not None:
                self._agree(terms)
            else:
                yield line

    def _agree(self, terms: Terms) -> None:
        """Take what the body says of the batch. Raises Refused."""
        if terms.notify is not None:
            if self.service.settings.keyring is None:
                detail = "this platform sends no webhooks: its operator has to set SECRET_KEY"
                raise Refused(503, "secret_key_missing", detail)
            if (why := check_url(terms.notify.url, self.service.settings.outbound)) is not None:
                raise flawed([Flaw(pointer="/notify/url", detail=why)])
        self.terms = self.wish.over(terms)

    async def _look(self) -> None:
        """See what becomes of the lines that wait, and put it into the spool."""
        group, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not group or self.spool is None:
            return
        async with self.service.batch_room.turns:
            made = await self.service.blocking(self._drafts, group)
        self.service.batch_room.take(self.spool.size - self._charged)
        self._charged = self.spool.size
        found = [one for one in made if isinstance(one, Draft)]
        self.drafted += len(found)
        self._steps += sum(one.steps for one in found)
        self.keys += [(one.unique, one.job_id, one.line) for one in found if one.unique is not None]
        if self._charged > MAX_WRITTEN_BYTES:
            raise too_large("the batch, with what its defaults and templates make of it,", MAX_WRITTEN_BYTES)
        if self._steps > MAX_STEPS:
            raise Refused(413, "too_many_steps", f"the jobs of a batch have at most {MAX_STEPS} steps together")

    def _drafts(self, group: Sequence[Line]) -> list[Draft | LineError]:
        assert self.spool is not None
        with self.service.database.read(self.caller.tenant_id) as tx:
            made = drafted(tx, self.batch_id, self.terms, group, self._check)
        try:
            self.spool.keep(made)
        except OSError as exc:
            log.warning("batch.not_spooled reason=%s", exc)
            raise busy() from exc
        return made

    def _check(self, spec: JobSpec) -> None:
        check_targets(spec, self.service.settings)

    def _decide(self) -> None:
        """Raise Refused (422) where nothing is to be written."""
        if self.seen == 0:
            raise Refused(422, "batch_empty", EMPTY)
        if self.refused == 0 or (self.drafted and not self.terms.atomic):
            return
        assert self.spool is not None
        flaws = list(islice(all_flaws(self.spool.errors()), FIRST_ERRORS))
        why = "the batch is atomic, so nothing was accepted" if self.drafted else "so nothing was accepted"
        detail = f"{self.refused} of {self.seen} jobs have flaws, and {why}; 'errors' names the first, by their lines"
        raise Refused(422, "batch_refused", detail, flaws=flaws)


async def accept(request: Request, intake: BatchIntake, held: Held | None) -> Json:
    """Read the request, write the batch and return its document. Raises what BatchIntake.read raises."""
    service = intake.service
    try:
        async with held.renewed() if held else nullcontext():
            await intake.read(request)
    except BaseException:
        intake.close()
        await service.to_its_end(_release(held))
        raise
    # From here on a request that is cut off changes nothing: the batch is written, or refused, to the end.
    return await service.to_its_end(_write(intake, held))


async def _write(intake: BatchIntake, held: Held | None) -> Json:
    service = intake.service
    try:
        async with held.renewed() if held else nullcontext(), service.batch_room.turns:
            return await service.blocking(_store, intake, held)
    except Exception:
        await _release(held)  # which leaves a key that is answered: the commit may have come through
        raise
    finally:
        intake.close()


def _store(intake: BatchIntake, held: Held | None) -> Json:
    assert intake.spool is not None
    service, caller = intake.service, intake.caller
    counted = Counted(refused=intake.refused, drafted=intake.drafted, keys=intake.keys)
    with service.database.begin(caller.tenant_id) as tx:
        made = submit_batch(tx, intake.batch_id, intake.terms, counted, intake.spool.written(), intake.spool.errors())
        errors = batches.errors(tx, made.id, after=0, limit=FIRST_ERRORS)
        document = batch_document(made, errors, service.settings.public_url).model_dump(mode="json")
        if held is not None:
            held.answer(tx, intake.fingerprint, document)
        told = {"jobs": made.accepted, "existing": made.existing, "refused": made.refused}
        audit.note(tx, caller, "batch.submit", made.id, told)
    return document


async def _release(held: Held | None) -> None:
    if held is None:
        return
    try:
        await held.release()
    except StorageError as exc:  # it frees itself when it is not renewed
        log.warning("idempotency.release_failed reason=%s", exc)
