"""Everything that can go wrong with a job's document or its work, a sentence each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.model import Json


class TasksError(Exception):
    """Base of all errors that this package raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """One thing that is wrong with a document: where (JSON pointer, RFC 6901) and what to do about it.

    `line` is that of the document among many, counted from 1; None where there is one document.
    """

    pointer: str
    detail: str
    line: int | None = None


class InvalidDocument(TasksError):
    """The job's document cannot be accepted; `flaws` says why, place by place."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(f"{flaw.pointer or '/'}: {flaw.detail}" for flaw in flaws))
        self.flaws = tuple(flaws)


class TemplateUnknown(TasksError):
    """There is no template of this name among the `known` ones or, if a `version` is given, no such version of it."""

    def __init__(
        self, name: str, *, known: Collection[str] = (), version: int | None = None, newest: int | None = None
    ) -> None:
        super().__init__(name if version is None else f"{name}@{version}")
        self.name = name
        self.known = known
        self.version = version
        self.newest = newest


class StepFailed(TasksError):
    """The step cannot succeed, however often it is tried; `message` is public.

    `reason` is the same for failures that belong together, where messages differ; empty: the message says it.
    """

    def __init__(self, code: str, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason


class StepRetryable(TasksError):
    """The step did not succeed now and may later; `message` is public, `after_seconds` a wish of the third party.

    `reason` as that of StepFailed.
    """

    def __init__(self, code: str, message: str, *, after_seconds: float | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.after_seconds = after_seconds
        self.reason = reason


class StepIncomplete(StepRetryable):
    """Some of the work is done: `result` is kept for the next attempt, and counts as it is when none is left."""

    def __init__(self, code: str, message: str, *, result: Json) -> None:
        super().__init__(code, message)
        self.result = result


class OutboundRefused(TasksError):
    """A request to somebody else is not sent, however often it is asked for; `message` is public.

    `code`: url_invalid, method_forbidden, header_forbidden, address_forbidden, redirect_forbidden, too_many_redirects.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class OutboundTooLarge(TasksError):
    """Somebody else answers with more than is taken, as sent or as unpacked; `message` is public."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class OutboundFailed(TasksError):
    """A request to somebody else got no whole answer and may get one later; `message` is public.

    `code`: name_not_resolved, connect_failed, tls_failed, timed_out, connection_lost, protocol_error.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BackfillTooLarge(TasksError):
    """A backfill asks for more than `most` firings; with `last` as its end it would be as many."""

    def __init__(self, most: int, last: datetime) -> None:
        super().__init__(f"more than {most} firings")
        self.most = most
        self.last = last


class ConfigurationError(TasksError):
    """An environment variable is missing or has a value that cannot be used."""
