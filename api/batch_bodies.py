"""The two forms in which a batch is sent, lines and one document, and what is wrong with them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from pydantic_core import from_json, to_json

from api.documents import FLAWED
from api.errors import Refused
from storage.batch_model import LineError
from tasks.batch_document import FIELDS, Terms, terms_of
from tasks.batch_lines import Line
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import unknown_fields
from tasks.values import MAX_FLAWS, parse_json

HEAD = "batch"  # the only field of a first line that is no job
_BEGINS = re.compile(rb'\s*\{\s*"batch"\s*:')


def head(line: Line) -> Terms | None:
    """What a first line says of the batch; None if it is a job's, or anything else. Raises Refused."""
    if line.raw is None or not _BEGINS.match(line.raw):
        return None
    try:
        given = parse_json(line.raw)
        if not isinstance(given, dict) or set(given) != {HEAD}:
            return None
        return terms_of(given[HEAD], f"/{HEAD}")
    except InvalidDocument as exc:
        raise flawed([replace(flaw, line=line.number) for flaw in exc.flaws]) from exc


def parts(raw: bytes) -> tuple[Terms, Sequence[Any]]:
    """The terms in a batch's document, and its jobs. Raises Refused."""
    try:
        given = from_json(raw or b"{}", allow_inf_nan=False)
    except ValueError as exc:
        raise flawed([Flaw(pointer="", detail=f"this is not JSON: {exc}")]) from exc
    if not isinstance(given, dict):
        raise flawed([Flaw(pointer="", detail="a batch is a JSON object with 'jobs'")])
    flaws = list(islice(unknown_fields("", given, (*FIELDS, "jobs")), MAX_FLAWS))
    listed = given.get("jobs", [])
    if not isinstance(listed, list):
        flaws.append(Flaw(pointer="/jobs", detail="must be a list of jobs' documents"))
    if flaws:
        raise flawed(flaws)
    try:
        return terms_of(parse_json(to_json({name: given[name] for name in given if name in FIELDS}))), listed
    except InvalidDocument as exc:
        raise flawed(exc.flaws) from exc


def lines_of(listed: Sequence[Any], most_bytes: int) -> Iterator[Line]:
    """The jobs of a document as lines, numbered from 1; one by one, so that there is no second copy of all of them."""
    for number, job in enumerate(listed, start=1):
        raw = to_json(job, inf_nan_mode="constants")  # which is then refused, and not made null
        yield Line(number=number, raw=raw if len(raw) <= most_bytes else None)


def all_flaws(errors: Iterator[LineError]) -> Iterator[Flaw]:
    """What is wrong with the lines, one after the other, each with its line."""
    for error in errors:
        for pointer, detail in error.flaws or (("", error.detail),):
            yield Flaw(pointer=pointer, detail=detail, line=error.line)


def flawed(flaws: Sequence[Flaw]) -> Refused:
    """What is told of a batch whose own terms have flaws."""
    return Refused(422, "invalid_request", FLAWED, flaws=flaws)
