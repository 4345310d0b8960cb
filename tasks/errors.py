"""Everything that can go wrong with a job's document or its work, a sentence each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.model import Json


class TasksError(Exception):
    """Base of all errors that this package raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """One thing that is wrong with a document: where (JSON pointer, RFC 6901) and what to do about it."""

    pointer: str
    detail: str


class InvalidDocument(TasksError):
    """The job's document cannot be accepted; `flaws` says why, place by place."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(f"{flaw.pointer or '/'}: {flaw.detail}" for flaw in flaws))
        self.flaws = tuple(flaws)


class StepFailed(TasksError):
    """The step cannot succeed, however often it is tried; `message` is public."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StepRetryable(TasksError):
    """The step did not succeed now and may later; `message` is public, `after_seconds` a wish of the third party."""

    def __init__(self, code: str, message: str, *, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.after_seconds = after_seconds


class StepIncomplete(StepRetryable):
    """Some of the work is done: `result` is kept for the next attempt, and counts as it is when none is left."""

    def __init__(self, code: str, message: str, *, result: Json) -> None:
        super().__init__(code, message)
        self.result = result


class BackfillTooLarge(TasksError):
    """A backfill asks for more than `most` firings; with `last` as its end it would be as many."""

    def __init__(self, most: int, last: datetime) -> None:
        super().__init__(f"more than {most} firings")
        self.most = most
        self.last = last


class ConfigurationError(TasksError):
    """An environment variable is missing or has a value that cannot be used."""
