"""One table from what went wrong to what the client is told: problem+json (RFC 9457) with a stable `code`."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.openapi import methods_at
from storage.errors import (
    DatabaseUnavailable,
    IdempotencyInFlight,
    IdempotencyMismatch,
    JobEnded,
    JobNotEnded,
    NothingToRetry,
    ObjectMissing,
    ObjectStoreUnavailable,
    ScheduleNameTaken,
    SecretNameTaken,
    SecretUnreadable,
    SessionsUnavailable,
    TooManyVersions,
    UniqueKeyTaken,
)
from tasks.errors import Flaw, InvalidDocument

log = logging.getLogger(__name__)


class Refused(Exception):
    """The request cannot be served; `status`, `code` and `detail` are what the client is told."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.flaws = tuple(flaws)
        self.headers = dict(headers or {})


def invalid_parameter(flaws: Mapping[str, str]) -> Refused:
    """A query parameter or header does not fit: by the place of each, as a JSON pointer, what it must be."""
    detail = "a parameter of the request has a wrong value; 'errors' names it"
    told = [Flaw(pointer=pointer, detail=flaw) for pointer, flaw in flaws.items()]
    return Refused(422, "invalid_parameter", detail, flaws=told)


class ConfigurationError(Exception):
    """An environment variable is missing or has a value that cannot be used."""


RETRY_AFTER_SECONDS = 2

# Errors of the packages below, and what the client is told of each.
TABLE: Mapping[type[Exception], tuple[int, str, str]] = {
    InvalidDocument: (422, "invalid_job", "the job's document has flaws; 'errors' names each place and what to do"),
    DatabaseUnavailable: (503, "database_unavailable", "the platform's database does not answer; try again soon"),
    ObjectStoreUnavailable: (503, "store_unavailable", "the platform's object store does not answer; try again soon"),
    SessionsUnavailable: (
        503,
        "sessions_unavailable",
        "the platform's store of sign-ins does not answer; try again soon, API keys work meanwhile",
    ),
    SecretUnreadable: (
        503,
        "secret_unreadable",
        "a secret is sealed with a key that this platform does not have any more: its operator has to put it into"
        " SECRET_KEY_FALLBACKS",
    ),
    ObjectMissing: (503, "upload_lost", "the upload took so long that its file has been swept away; send it again"),
    JobEnded: (409, "job_ended", "the job has ended already; it cannot be canceled any more"),
    JobNotEnded: (409, "job_not_ended", "the job has not ended; cancel it, or wait"),
    UniqueKeyTaken: (409, "unique_key_taken", "another job with this job's unique_key is under way; wait for its end"),
    ScheduleNameTaken: (
        409,
        "schedule_name_taken",
        "another of your schedules has this name; choose another, or find it with GET /v1/schedules?name=",
    ),
    SecretNameTaken: (
        409,
        "secret_name_taken",
        "you have a secret of this name; PUT /v1/secrets/{name} replaces its value",
    ),
    TooManyVersions: (
        409,
        "too_many_versions",
        "the template has as many versions as one may have; put it under another name",
    ),
    NothingToRetry: (
        409,
        "nothing_to_retry",
        "every step of the job has succeeded; 'only': 'all' runs all of it again",
    ),
    IdempotencyInFlight: (
        409,
        "idempotency_in_flight",
        "a request with this Idempotency-Key is being answered; try again soon",
    ),
    IdempotencyMismatch: (
        422,
        "idempotency_mismatch",
        "this Idempotency-Key was used for another payload; use a new key",
    ),
}


def problem(refused: Refused) -> Response:
    """The answer that a refusal becomes."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "code": refused.code,
        "detail": refused.detail,
    }
    if refused.flaws:
        body["errors"] = [
            {"pointer": flaw.pointer, "detail": flaw.detail, **({} if flaw.line is None else {"line": flaw.line})}
            for flaw in refused.flaws
        ]
    return JSONResponse(
        body, status_code=refused.status, headers=refused.headers, media_type="application/problem+json"
    )


def not_found(what: str) -> Refused:
    """What is told of things that are not there, or belong to another tenant."""
    return Refused(404, "not_found", f"there is no such {what}")


def refusal(exc: Exception) -> Refused:
    """What an error of TABLE is told as."""
    status, code, detail = next(row for known, row in TABLE.items() if isinstance(exc, known))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 or code == "idempotency_in_flight" else {}
    if status == 503:
        log.warning("request.unavailable code=%s reason=%s", code, exc)
    flaws = exc.flaws if isinstance(exc, InvalidDocument) else ()
    return Refused(status, code, detail, flaws=flaws, headers=headers)


def install(app: FastAPI) -> None:
    """Have the app answer every error as problem+json."""
    for foreseen, handler in _HANDLERS.items():
        app.add_exception_handler(foreseen, handler)
    app.add_exception_handler(Exception, _unexpected)


async def answered(request: Request, exc: Exception) -> Response:
    """What an app of `install` answers to an error of FORESEEN, for those who stand around the framework."""
    return await next(_HANDLERS[kind] for kind in type(exc).__mro__ if kind in _HANDLERS)(request, exc)


async def _refused(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    return problem(exc)


async def _known(_: Request, exc: Exception) -> Response:
    return problem(refusal(exc))


async def _http(request: Request, exc: Exception) -> Response:
    """What the framework itself refuses: unknown paths and methods."""
    assert isinstance(exc, HTTPException)
    details = {404: "there is nothing at this path; see /docs", 405: "this path does not take this method; see /docs"}
    code = HTTPStatus(exc.status_code).phrase.lower().replace(" ", "_")
    detail = details.get(exc.status_code, str(exc.detail))
    headers = dict(exc.headers or {})
    if exc.status_code == 405 and (methods := methods_at(request.app, request.url.path)):
        headers["Allow"] = ", ".join(methods)  # the framework names only those of the first route
    return problem(Refused(exc.status_code, code, detail, headers=headers))


async def _gone(_: Request, exc: Exception) -> Response:
    # Nobody reads this answer; it keeps a client that went away from being logged as our error.
    return Response(status_code=400)


async def _unexpected(request: Request, exc: Exception) -> Response:
    log.error("request.crashed method=%s path=%s", request.method, request.url.path, exc_info=exc)
    return problem(Refused(500, "internal_error", "something went wrong here; it has been noted, try again later"))


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    HTTPException: _http,
    ClientDisconnect: _gone,
    **dict.fromkeys(TABLE, _known),
}
FORESEEN = tuple(_HANDLERS)
