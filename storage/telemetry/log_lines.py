"""A line of the log: what a record says, with the ids of what is being worked on, as JSON or in colours."""

import json
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from logging import Formatter, LogRecord
from typing import Any

from structlog.contextvars import get_contextvars
from structlog.dev import ConsoleRenderer
from structlog.stdlib import ProcessorFormatter

from storage.telemetry.log_fields import MOST_TEXT, told
from storage.telemetry.log_masking import masked

MOST_STACK = 8000  # characters: the end, where it went wrong
MOST_FRAMES = 60

RESERVED = frozenset({"at", "level", "event", "process", "role", "message", "logger", "error"})

_ATTRIBUTE = "millrace_line"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """`at` in seconds since 1970; `text` are the words between an event and its fields; `logger` is somebody else's.

    `fields` are those of the call over those that are bound to what is being worked on: request, tenant, job, step,
    attempt, kind, trace. `error` has type, message and stack. `private` names the fields that are for operators alone.
    """

    at: float
    level: str  # debug, info, warning, error, critical
    event: str
    text: str = ""
    logger: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    private: frozenset[str] = frozenset()


def line_of(record: LogRecord) -> Line:
    """What the record says; made once, and in the thread that logged it, whose context it bears."""
    made = record.__dict__.get(_ATTRIBUTE)
    if made is None:
        try:
            made = _line(record)
        except Exception as exc:  # noqa: BLE001 - the edge: a call that logs something odd must not break the work
            made = Line(
                at=record.created,
                level="error",
                event="log.unreadable",
                fields={"template": str(record.msg)[:MOST_TEXT], "reason": type(exc).__name__},
                logger=record.name,
            )
        record.__dict__[_ATTRIBUTE] = made
    return made


def json_formatter(process: "Named") -> Formatter:
    """One JSON object a line: at, level, event, process, role, then whatever else there is."""

    return _JsonLines(process)


def console_formatter(*, colors: bool) -> Formatter:
    """Lines for people: the time, the level, the event, its fields, and below it the stack of an error."""
    render = ConsoleRenderer(colors=colors, sort_keys=False)

    def words(logger: Any, method: str, given: MutableMapping[str, Any]) -> str:
        line = line_of(given["_record"])
        shown: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(line.at).astimezone().strftime("%H:%M:%S.%f")[:-3],
            "level": line.level,
            "event": _plain(f"{line.event}  {line.text}" if line.text else line.event),
        }
        others = {**line.fields, **({"logger": line.logger} if line.logger else {})}
        shown |= {_unreserved(name): _plain(value) for name, value in others.items()}
        if line.error is not None:
            shown["exception"] = line.error["stack"].rstrip()
        return str(render(logger, method, shown))

    return ProcessorFormatter(processors=[words], use_get_message=False)


class _JsonLines(Formatter):
    """Without structlog's, which copies the record first: a line costs each step of each job some of its time."""

    def __init__(self, process: "Named") -> None:
        super().__init__()
        self._process = process
        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def format(self, record: LogRecord) -> str:
        return self._encode(as_document(line_of(record), self._process))


@dataclass(kw_only=True, slots=True)
class Named:
    """The process that logs; `name` changes where it forks."""

    role: str
    name: str


def as_document(line: Line, process: Named) -> dict[str, Any]:
    """The line as one JSON object."""
    document: dict[str, Any] = {
        "at": rfc3339(line.at),
        "level": line.level,
        "event": line.event,
        "process": process.name,
        "role": process.role,
    }
    if line.text:
        document["message"] = line.text
    for name, value in line.fields.items():
        document[f"{name}_" if name in RESERVED else name] = value
    if line.logger:
        document["logger"] = line.logger
    if line.error is not None:
        document["error"] = line.error
    return document


def rfc3339(at: float) -> str:
    """Seconds since 1970 as a time in UTC, to the millisecond."""
    milliseconds = round(at * 1_000_000) // 1000
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _line(record: LogRecord) -> Line:
    said = told(record)
    is_event = said.event != said.text
    return Line(
        at=record.created,
        level=record.levelname.lower(),
        event=said.event,
        text=said.text if is_event else "",
        logger=None if is_event else record.name,
        fields={**get_contextvars(), **said.fields},
        error=_error(record),
        private=said.private,
    )


def _error(record: LogRecord) -> dict[str, str] | None:
    if not record.exc_info or record.exc_info[1] is None:
        return None
    kind, raised, frames = record.exc_info
    stack = "".join(traceback.format_exception(kind, raised, frames, limit=-MOST_FRAMES))
    return {
        "type": type(raised).__qualname__,
        "message": masked(str(raised))[:MOST_TEXT],
        "stack": masked(stack[-MOST_STACK:]),
    }


def _unreserved(name: str) -> str:
    return f"{name}_" if name in {"timestamp", "level", "event", "exception", "exc_info", "stack"} else name


def _plain(value: Any) -> Any:
    """The value without what could steer a terminal."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in value)
