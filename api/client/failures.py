"""What can go wrong for a client of the API, in sentences that say what to do."""

from collections.abc import Mapping, Sequence
from typing import Any


class MillraceError(Exception):
    """Base of everything that the client raises on purpose; the message is for people."""


class ConnectionFailed(MillraceError):
    """The platform could not be reached, or the connection to it broke; `passes` where another try may help soon."""

    def __init__(self, message: str, *, passes: bool = True) -> None:
        super().__init__(message)
        self.passes = passes


class TimedOut(MillraceError):
    """The job had not ended within the time given."""


class ApiError(MillraceError):
    """The platform refused; `code` is stable, `errors` are pairs (JSON pointer, what to do).

    `retry_after` in seconds, None where the answer does not say.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        *,
        retry_after: float | None = None,
    ) -> None:
        places = "".join(f"\n  {pointer or '/'}: {what}" for pointer, what in errors)
        super().__init__(f"{detail} ({code}){places}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed soon, by what the answer says."""
        return self.status in {502, 503, 504} or self.code == "idempotency_in_flight"


def from_answer(status: int, headers: Mapping[str, str], problem: Any) -> ApiError:
    """The error that an answer means. `problem` is its JSON; None where the body was none (a proxy's own page)."""
    wait = headers.get("retry-after", "")
    retry_after = float(wait) if wait.isascii() and wait.isdigit() else None
    if not isinstance(problem, Mapping) or not isinstance(problem.get("detail"), str):
        detail = f"the address answered with HTTP {status}, and not as Millrace does; is the URL right?"
        if "location" in headers:
            detail = f"the address has moved to {headers['location']}; use that one"
        return ApiError(status, f"http_{status}", detail, retry_after=retry_after)
    listed = problem.get("errors")
    places = [place for place in listed if isinstance(place, Mapping)] if isinstance(listed, list) else []
    errors = [(_pointer(place), str(place.get("detail", ""))) for place in places]
    code = str(problem.get("code", f"http_{status}"))
    return ApiError(status, code, problem["detail"], errors, retry_after=retry_after)


def _pointer(place: Mapping[str, Any]) -> str:
    """Where it is; of many documents with the line of the one that is meant."""
    pointer = str(place.get("pointer", ""))
    return f"line {place['line']}: {pointer or '/'}" if place.get("line") else pointer
