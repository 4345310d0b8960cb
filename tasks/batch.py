"""A batch on its way in: its lines become drafts of jobs, group by group; then all are written in one transaction.

Nothing of a batch stands before all of it does: a process that dies on the way leaves no half of one.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from storage import batches, jobs, unique
from storage.batch_ids import BatchId, OfBatch
from storage.batch_model import Batch, LineError, NewBatch
from storage.database import Tx
from storage.model import JobId, new_job_id
from storage.unique_model import Unique
from tasks.batch_document import Terms
from tasks.batch_lines import Line
from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.own_templates import resolver
from tasks.spec import JobSpec, check_needs_no_file
from tasks.submit import Birth, draft, submit_drafts
from tasks.templates import Resolve
from tasks.uploaded import input_of
from tasks.values import merged, parse_json

GROUP_JOBS = 500  # in one statement,
GROUP_BYTES = 4_000_000  # or fewer, if they are large
GROUP_ERRORS = 500

TOO_LARGE = "the line is longer than a job's document may be here"
INVALID_JOB = "the job's document has flaws; 'errors' names each place and what to do"

log = logging.getLogger(__name__)

Check = Callable[[JobSpec], None]  # raises InvalidDocument for what the door does not let in


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A job of a batch that could be written now: `written` as storage.jobs takes it."""

    line: int
    job_id: JobId
    written: str
    steps: int
    unique: Unique | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What has been read of a batch: how many lines were refused, how many jobs drafted, and which have unique keys."""

    refused: int
    drafted: int
    keys: Sequence[tuple[Unique, JobId, int]]  # with the line


def drafted(tx: Tx, batch_id: BatchId, terms: Terms, lines: Sequence[Line], check: Check) -> list[Draft | LineError]:
    """What becomes of some lines of a batch, in their order. It reads only: own templates, and uploads."""
    templates = resolver(tx)
    return [_drafted(tx, batch_id, terms, line, check, templates) for line in lines]


def submit_batch(
    tx: Tx,
    batch_id: BatchId,
    terms: Terms,
    counted: Counted,
    written: Iterable[tuple[JobId, str]],
    refused: Iterable[LineError],
) -> Batch:
    """Write the batch with its jobs, and what became of the other lines, in the caller's transaction.

    A job whose unique key another one holds is not written: its line is noted as existing.
    """
    held = _taken(tx, counted.keys)
    keys = {job_id: (one, line) for one, job_id, line in counted.keys}
    for group in _groups(one for job_id, one in written if job_id not in held):
        submit_drafts(tx, group)
    existing = [_existing(keys[job_id][0], keys[job_id][1], holder) for job_id, holder in held.items()]
    new = NewBatch(
        id=batch_id,
        name=terms.name,
        metadata=dict(terms.metadata),
        notify=terms.notify,
        accepted=counted.drafted - len(held),
        existing=len(held),
        refused=counted.refused,
    )
    made = batches.insert(tx, new)
    for errors in _errors_grouped([*existing], refused):
        batches.insert_errors(tx, batch_id, errors)
    tx.after_commit(partial(_log, tx, made))
    return made


def _drafted(
    tx: Tx, batch_id: BatchId, terms: Terms, line: Line, check: Check, templates: Resolve
) -> Draft | LineError:
    if line.raw is None:
        return LineError(line=line.number, code="too_large", detail=TOO_LARGE)
    try:
        document = parse_json(line.raw)
        if terms.defaults and isinstance(document, dict):
            document = merged(terms.defaults, document)
        spec = parse(document, templates=templates)
        check_needs_no_file(spec)
        check(spec)
        file = input_of(tx, spec)
    except InvalidDocument as exc:
        flaws = tuple((flaw.pointer, flaw.detail) for flaw in exc.flaws)
        return LineError(line=line.number, code="invalid_job", detail=INVALID_JOB, flaws=flaws)
    birth = Birth(
        tenant_id=tx.tenant_id,
        job_id=new_job_id(),
        spec=spec,
        fired=None,
        file=file,
        batch=OfBatch(id=batch_id, line=line.number),
    )
    new = draft(birth)
    return Draft(
        line=line.number,
        job_id=new.id,
        written=jobs.written_out(tx.tenant_id, new),
        steps=len(new.steps),
        unique=spec.unique,
    )


def _taken(tx: Tx, keys: Sequence[tuple[Unique, JobId, int]]) -> dict[JobId, JobId]:
    """Take the unique keys; the holders of those that cannot be had, by the job that is not to be written.

    In one order everywhere: two transactions that take several keys must not wait for each other. Of the lines with
    one key the first has it.
    """
    held: dict[JobId, JobId] = {}
    in_order = sorted(keys, key=lambda one: (one[0].key, one[2]))
    for (wanted, first, _), *others in (list(same) for _, same in groupby(in_order, key=lambda one: one[0].key)):
        holder = unique.take(tx, wanted, first)
        if holder is not None:
            held[first] = holder
        held |= {job_id: holder or first for _, job_id, _ in others}
    return held


def _existing(wanted: Unique, line: int, holder: JobId) -> LineError:
    detail = f"job {holder} has the unique_key {wanted.key!r}: nothing was submitted for this line"
    return LineError(line=line, code="unique_key_taken", detail=detail, job_id=holder)


def _groups(written: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for one in written:
        if group and (len(group) >= GROUP_JOBS or size + len(one) > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one)
    if group:
        yield group


def _errors_grouped(*those: Iterable[LineError]) -> Iterator[list[LineError]]:
    group: list[LineError] = []
    for errors in those:
        for error in errors:
            group.append(error)
            if len(group) == GROUP_ERRORS:
                yield group
                group = []
    if group:
        yield group


def _log(tx: Tx, batch: Batch) -> None:
    told = (tx.tenant_id, batch.id, batch.accepted, batch.existing, batch.refused)
    log.info("batch.accepted tenant=%s batch=%s jobs=%s existing=%s refused=%s", *told)
