"""The parameters of http.call, as a job's document gives them, and what is wrong between them and their job. Pure."""

import binascii
import re
from base64 import b64decode
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from storage.model import Json
from tasks import expressions
from tasks.errors import Flaw
from tasks.flaws import nearest
from tasks.params import NAME_PATTERN, Params

MAX_URL = 2048
MAX_SECONDS = 480.0  # leaves time of the step's own for what is fetched before, and stored afterwards
MAX_ANSWER_BYTES = 65_536  # kept in the result, unless asked otherwise
MOST_ANSWER_BYTES = 200_000
MOST_RESULT_BYTES = 6 * MOST_ANSWER_BYTES + 65_536  # as JSON: a byte can become "\\u0001", and there are headers
MAX_OBJECT_BYTES = 100 * 1024**2
MOST_OBJECT_BYTES = 5 * 1024**3
WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})

# What is filled in where; secrets go where third parties expect them, and not where answers and rows would show them.
ROOTS = ("job", "step", "steps")
SECRET_ROOTS = (*ROOTS, "secrets")

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_STATUS = re.compile(r"[1-5](xx|[0-9][0-9])")
_EXPRESSION = re.compile(r"\{\{[^{}]+\}\}")
_ONE_EXPRESSION = re.compile(r"\{\{[^{}]+\}\}.*", re.DOTALL)

_ANY_2XX: tuple[int | str, ...] = ("2xx",)

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
Plain = Annotated[str, StringConstraints(max_length=8192)] | int | float | bool
Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, StringConstraints(pattern=f"^{_STATUS.pattern}$")]


class CallTimeout(Params):
    """How long is waited, in seconds: for the connection, for the next bytes, for all of it."""

    connect: Annotated[float, Field(gt=0, le=60)] = 5.0
    read: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 30.0
    total: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 60.0


class CallFile(Params):
    """An output of an earlier step, sent as the body: alone, or as a file of a form."""

    step: Annotated[str, Field(pattern=NAME_PATTERN)]
    output: Annotated[str | None, Field(pattern=NAME_PATTERN, description="default: the largest")] = None
    send_as: Literal["raw", "multipart"] = "raw"
    field: Annotated[str, Field(min_length=1, max_length=100, pattern=r'^[^"\r\n]*$')] = "file"
    filename: Annotated[str | None, Field(min_length=1, max_length=255, pattern=r'^[^"\r\n/\\]*$')] = None


class CallAnswer(Params):
    """What becomes of the answer's body: kept in the step's result, or stored as its output `answer`."""

    store_as: Literal["result", "output"] = "result"
    max_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_OBJECT_BYTES,
            description=f"of a result: what is kept of it, default {MAX_ANSWER_BYTES} and at most {MOST_ANSWER_BYTES}; "
            f"of an output: a larger one fails, default {MAX_OBJECT_BYTES}",
        ),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> "CallAnswer":
        if self.store_as == "result" and (self.max_bytes or 0) > MOST_ANSWER_BYTES:
            raise ValueError(f"a result keeps at most {MOST_ANSWER_BYTES} bytes; store_as 'output' takes more")
        return self

    @property
    def most_bytes(self) -> int:
        default = MAX_ANSWER_BYTES if self.store_as == "result" else MAX_OBJECT_BYTES
        return default if self.max_bytes is None else self.max_bytes


class HttpCall(Params):
    """Calls a third party. Values may hold expressions such as {{steps.look.labels[0].name}}."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=50)] = Field(default_factory=dict)
    query: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=255)], Plain | list[Plain]],
        Field(max_length=50, description="added to the URL's own"),
    ] = Field(default_factory=dict)
    body: Annotated[
        Any, Field(description="JSON; default: the job's id and the results of the steps used, for POST, PUT and PATCH")
    ] = None
    form: Annotated[dict[str, Plain | list[Plain]] | None, Field(max_length=100)] = None
    data: Annotated[
        str | None, Field(max_length=700_000, description="bytes in base64; name their type in headers")
    ] = None
    file: CallFile | None = None
    success: Annotated[list[Status], Field(min_length=1, max_length=20, description='such as 201, or "2xx"')] = Field(
        default_factory=lambda: list(_ANY_2XX)
    )
    timeout: CallTimeout = CallTimeout()
    redirects: Annotated[int, Field(ge=0, le=10, description="how many are followed")] = 0
    answer: CallAnswer = CallAnswer()
    max_attempts: Annotated[int, Field(ge=1, le=50)] = 12
    deadline_seconds: Annotated[
        float, Field(gt=0, le=7 * 86_400, description="no attempt begins later than this after the first")
    ] = 86_400.0

    @field_validator("url")
    @classmethod
    def _leads_somewhere(cls, url: str) -> str:
        if not _is_address(url):
            raise ValueError("must be an http or https URL without a user, or begin with an expression")
        return url

    @model_validator(mode="after")
    def _is_one_call(self) -> "HttpCall":
        given = [name for name in ("body", "form", "data", "file") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of body, form, data and file, not {' and '.join(given)}")
        if given and self.method not in WITH_BODY:
            raise ValueError(f"{self.method} sends no body, and {given[0]!r} is one")
        if self.data is not None:
            try:
                b64decode(self.data, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("data must be base64") from None
        return self

    def is_success(self, status: int) -> bool:
        """Whether the call has succeeded that was answered with this status."""
        return status in self.success or str(status) in self.success or f"{status // 100}xx" in self.success


def makes_files(params: HttpCall) -> bool:
    """Whether its answer is a file that other steps may work on."""
    return params.answer.store_as == "output"


def flaws(params: HttpCall, use: Collection[str], at: str) -> Iterator[Flaw]:
    """What is wrong with the expressions and with the file of a call that uses these steps."""
    if params.file is not None and params.file.step not in use:
        hint = nearest(params.file.step, use)
        yield Flaw(pointer=f"{at}/file/step", detail=f"'use' does not name step {params.file.step!r}{hint}")
    for name, value, roots in _filled(params):
        yield from expressions.flaws(value, at=f"{at}/{name}", steps=use, roots=roots)


def _filled(params: HttpCall) -> Iterator[tuple[str, Json, Collection[str]]]:
    """What may hold expressions: field, value, what they may speak of."""
    yield "url", params.url, ROOTS
    yield "headers", params.headers, SECRET_ROOTS
    yield "query", params.query, SECRET_ROOTS
    yield "body", params.body, ROOTS
    yield "form", params.form, ROOTS


def _is_address(url: str) -> bool:
    """Whether it is, or can become, an address; what it leads to is seen when it is called (tasks.outbound)."""
    if _ONE_EXPRESSION.fullmatch(url):
        return True
    filled = _EXPRESSION.sub("x", url)
    try:
        parts = urlsplit(filled)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and "@" not in parts.netloc and not any(character in filled for character in "\\\r\n\t \x00")


def in_ascii(url: str) -> str:
    """The URL with what is beyond ASCII behind its host percent-encoded, as browsers do."""
    scheme, slashes, rest = url.partition("://")
    end = min((at for sign in "/?#" if (at := rest.find(sign)) >= 0), default=len(rest))
    return f"{scheme}{slashes}{rest[:end]}{_BEYOND_ASCII.sub(lambda found: quote(found[0]), rest[end:])}"
