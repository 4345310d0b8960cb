"""Ids of batches, and what a job knows of the one that it comes from. Pure."""

from dataclasses import dataclass
from typing import NewType

from storage.ids import is_id, new_id

BatchId = NewType("BatchId", str)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfBatch:
    """The batch that a job comes from, and its line there, counted from 1."""

    id: BatchId
    line: int


def new_batch_id() -> BatchId:
    return BatchId(new_id("bat"))


def is_batch_id(text: str) -> bool:
    """Whether the text is the canonical spelling of a batch's id."""
    return is_id(text, "bat")
