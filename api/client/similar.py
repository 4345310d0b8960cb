"""The API's documents about similar pictures as frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Any

from api.client.answers import Document, understood


@dataclass(frozen=True, kw_only=True, slots=True)
class Similar:
    """A picture that is like another, by the job's step that looked at it; `score` is 0..1.

    `model` made the embeddings that were compared. Where hashes were, it is None, and `distance` says how many of
    their 64 bits differ.
    """

    job: str
    step: str
    score: float
    distance: int | None
    model: str | None
    filename: str | None = None
    raw: Document = field(repr=False, default_factory=dict)


def similar(document: Any) -> list[Similar]:
    """Read what a search found. Raises MillraceError where it is something else."""
    return understood(lambda it: [_similar(one, it["model"]) for one in it["data"]], document)


def _similar(it: Document, model: str | None) -> Similar:
    return Similar(
        job=it["job"],
        step=it["step"],
        score=float(it["score"]),
        distance=it["distance"],
        model=model,
        filename=it.get("filename"),
        raw=it,
    )
