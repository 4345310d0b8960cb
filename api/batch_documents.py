"""The documents about batches that the API answers with, and how rows become them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from api.schemas import FlawDocument
from storage.batch_model import Batch, LineError
from tasks.batch_document import BatchSummary, fields_of
from tasks.job_document import Document

FIRST_ERRORS = 100  # that the batch's own document has


class LineDocument(Document):
    """A line that became no job, and why: `code`, `detail` and `errors` as a problem document has them."""

    line: Annotated[int, Field(ge=1, description="of the body; of a JSON document the position in `jobs`, from 1")]
    code: Annotated[str, Field(description="invalid_job, too_large, or unique_key_taken")]
    detail: str
    errors: list[FlawDocument]
    job: Annotated[str | None, Field(description="which has the line's unique_key")]


class BatchDocument(BatchSummary):
    """A batch with the first of its lines that became no jobs; `links.errors` has them all."""

    errors: Annotated[list[LineDocument], Field(description=f"the first {FIRST_ERRORS}, by their number")]


class BatchPage(Document):
    """Batches, newest first; `next_cursor` is null on the last page."""

    data: list[BatchSummary]
    next_cursor: str | None


class LinePage(Document):
    """Lines that became no jobs, by their number; `next_cursor` is null on the last page."""

    data: list[LineDocument]
    next_cursor: str | None


def batch_document(batch: Batch, errors: Sequence[LineError], public_url: str) -> BatchDocument:
    """The batch with these lines; links begin with `public_url`."""
    return BatchDocument(**fields_of(batch, public_url), errors=[line_document(error) for error in errors])


def line_document(error: LineError) -> LineDocument:
    return LineDocument(
        line=error.line,
        code=error.code,
        detail=error.detail,
        errors=[FlawDocument(pointer=pointer, detail=detail, line=error.line) for pointer, detail in error.flaws],
        job=error.job_id,
    )
