"""What jobs of every sort have behind them: the rows that the platform's own path leaves, as scripts for a fill.

A script belongs to a shape (which steps) and a fate (how it went); the fill joins jobs with scripts, set by set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FATES: Mapping[str, int] = {"failed": 30, "retried": 20, "canceled": 5, "expired": 2, "rejected": 3}  # of a thousand
REASONS = 40  # different fingerprints of failures

STATES = {"retried": "succeeded", "rejected": "failed"}  # of the job, where it is not called as its fate
OUTPUT = {"name": "small", "width": 320, "height": 213, "bytes": 14233, "content_type": "image/webp", "key": "outputs"}
CANCELED = {"code": "dependency_failed", "message": "a step that this step uses did not succeed", "fingerprint": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A step as a document has it, with the result that it gives."""

    name: str
    kind: str
    queue: str
    params: Mapping[str, Any]
    uses: Sequence[str]
    result: Any


ECHO = Asked(
    name="say", kind="echo", queue="default", params={"message": "hello"}, uses=(), result={"message": "hello"}
)
THUMBS = Asked(
    name="thumbs",
    kind="image.resize",
    queue="images",
    params={"variants": [{"name": "small", "width": 320, "format": "webp"}]},
    uses=(),
    result={"outputs": [OUTPUT]},
)
CRM = Asked(
    name="crm",
    kind="http.call",
    queue="calls",
    params={"url": "https://crm.example.com/pictures", "method": "POST"},
    uses=("thumbs",),
    result={"status": 200, "body": {"id": "4711"}},
)
SHAPES: Mapping[str, Sequence[Asked]] = {"echo": (ECHO,), "picture": (THUMBS, CRM)}


def steps() -> Iterator[dict[str, Any]]:
    """The steps of each shape and fate, as columns of their rows."""
    for shape, asked in SHAPES.items():
        for fate in ("succeeded", "queued", *FATES):
            for position, step in enumerate(asked):
                state, attempt, failures = _stands(fate, position)
                yield {
                    "shape": shape,
                    "fate": fate,
                    "position": position,
                    "name": step.name,
                    "kind": step.kind,
                    "queue": step.queue,
                    "params": step.params,
                    "uses": list(step.uses),
                    "state": state,
                    "attempt": attempt,
                    "failures": failures,
                    "result": step.result if state == "succeeded" else None,
                    "failed": state == "failed",
                    "waiting_on": len(step.uses) if state != "succeeded" else 0,
                }


def attempts() -> Iterator[dict[str, Any]]:
    """The attempts that have ended."""
    for shape, asked in SHAPES.items():
        for fate in ("succeeded", *FATES):
            for position in range(len(asked)):
                state, made, _ = _stands(fate, position)
                for number in range(1, made + 1):
                    outcome = state if number == made else "retried"
                    yield {"shape": shape, "fate": fate, "position": position, "number": number, "outcome": outcome}


def events() -> Iterator[dict[str, Any]]:
    """The events, numbered; `failed`: the error of the job's failure belongs into it."""
    for shape, asked in SHAPES.items():
        for fate in ("succeeded", "queued", *FATES):
            for seq, (kind, data) in enumerate(_told(fate, asked), start=1):
                failed = kind in ("step.failed", "step.retrying")
                yield {"shape": shape, "fate": fate, "seq": seq, "type": kind, "data": data, "failed": failed}


def _stands(fate: str, position: int) -> tuple[str, int, int]:
    """State, attempt and failures of the step in this place."""
    match fate, position:
        case "succeeded", _:
            return "succeeded", 1, 0
        case "retried", _:
            return "succeeded", 2 - position, 1 - position
        case "queued", _:
            return "waiting" if position else "queued", 0, 0
        case "failed", 0:
            return "failed", 3, 3
        case "rejected", 0:
            return "failed", 1, 1
        case "expired", _:
            return "expired", 0, 0
        case _:
            return "canceled", 0, 0


def _told(fate: str, asked: Sequence[Asked]) -> Iterator[tuple[str, Any]]:
    yield "job.queued", {}
    if fate == "queued":
        return
    begun = False
    for position, step in enumerate(asked):
        state, made, _ = _stands(fate, position)
        for number in range(1, made + 1):
            if not begun:
                yield "job.running", {}
                begun = True
            told = {"step": step.name, "attempt": number}
            yield "step.running", told
            yield (f"step.{state}", told) if number == made else ("step.retrying", {**told, "delay_seconds": 2.0})
        if made == 0:
            yield f"step.{state}", {"step": step.name, "error": CANCELED}
    yield f"job.{STATES.get(fate, fate)}", {}
