"""`@scheduled`: a function of a worker that is a kind of work and its schedule in one.

A package offers it by an entry point, `millrace.kinds = "acme.reports:nightly.kind"`; see docs/schedules-as-code.md.
It is imported while tasks.names is, so it can only use what does not need all kinds: the document is checked as far as
that goes here, and whole when the scheduler applies it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType
from typing import Any, Protocol, TypeVar, cast, overload

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from storage.model import Json
from tasks import cron as cron_patterns
from tasks.calendar import local_moment, zone_of
from tasks.names import Kind, Queue
from tasks.params import Params
from tasks.schedule_document import RULES, ScheduleDocument
from tasks.work import Work

STEP = "run"  # the one step of its jobs

_KIND_FIELDS = frozenset(Kind.__dataclass_fields__) - {"name", "summary", "params", "run", "queue", "schedules"}
_JOB_FIELDS = frozenset({"priority", "deadline_seconds", "unique_key", "unique", "metadata"})
_SCHEDULE_FIELDS = frozenset(ScheduleDocument.model_fields) - {"name", "job", "timezone", *RULES}
_MOMENTS = ("at", "anchor", "start_at", "end_at")

P = TypeVar("P", bound=BaseModel)
P_contra = TypeVar("P_contra", bound=BaseModel, contravariant=True)
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Scheduled(Protocol[P_contra, R_co]):
    """The function as it was, with its `kind`: a type only, since Python has none for a function with an attribute."""

    kind: Kind

    def __call__(self, work: Work, params: P_contra, /) -> R_co: ...


@overload
def scheduled(
    name: str,
    *,
    params: type[P],
    with_params: Mapping[str, Json] = ...,
    summary: str = ...,
    cron: str | None = ...,
    every: int | None = ...,
    at: str | None = ...,
    timezone: str = ...,
    tenant: str = ...,
    queue: Queue = ...,
    **fields: Any,
) -> Callable[[Callable[[Work, P], R]], Scheduled[P, R]]: ...


@overload
def scheduled(
    name: str,
    *,
    summary: str = ...,
    cron: str | None = ...,
    every: int | None = ...,
    at: str | None = ...,
    timezone: str = ...,
    tenant: str = ...,
    queue: Queue = ...,
    **fields: Any,
) -> Callable[[Callable[[Work, Params], R]], Scheduled[Params, R]]: ...


def scheduled(
    name: str,
    *,
    params: type[BaseModel] = Params,
    with_params: Mapping[str, Json] | None = None,
    summary: str = "",
    cron: str | None = None,
    every: int | None = None,
    at: str | None = None,
    timezone: str = "UTC",
    tenant: str = "platform",
    queue: Queue = Queue.DEFAULT,
    **fields: Any,
) -> Any:
    """Make a function `(work, params)` a kind of this name with a schedule of this name; the function stays as it is.

    Exactly one of `cron`, `every` (seconds) and `at`. `fields`: others of the schedule (`overlap`, `catch_up`, …), of
    its job (`priority`, `deadline_seconds`, …) and of Kind (`retry`, `time_limit`, …). `summary`: by default the first
    line of the docstring. Raises ValueError, TypeError where the module is imported.
    """
    known = _KIND_FIELDS | _JOB_FIELDS | _SCHEDULE_FIELDS
    if odd := sorted(fields.keys() - known):
        raise TypeError(f"@scheduled({name!r}): there is no field {odd[0]!r}; there are {', '.join(sorted(known))}")
    _check_params(name, params, with_params or {})
    job = {field: value for field, value in fields.items() if field in _JOB_FIELDS}
    document = {
        "name": name,
        **{rule: value for rule, value in zip(RULES, (cron, every, at), strict=True) if value is not None},
        "timezone": timezone,
        **{field: value for field, value in fields.items() if field in _SCHEDULE_FIELDS},
        "job": {**job, "steps": {STEP: {"kind": name, **(with_params or {})}}},
    }
    _check(name, document)

    def decorate(function: Callable[..., Any]) -> Any:
        kind = Kind(
            name=name,
            summary=summary or _first_line(function) or f"Runs by its schedule: {name}.",
            params=params,
            run=_path(name, function),
            queue=queue,
            schedules=({"tenant": tenant, **document},),
            **{field: value for field, value in fields.items() if field in _KIND_FIELDS},
        )
        made = cast(Scheduled[BaseModel, Any], function)
        made.kind = kind
        return made

    return decorate


def _check_params(name: str, params: Any, given: Mapping[str, Json]) -> None:
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        raise TypeError(f"@scheduled({name!r}): params is a model of the parameters, a class, not {params!r}")
    try:
        params.model_validate_json(to_json(dict(given)))
    except ValidationError as exc:
        raise ValueError(f"@scheduled({name!r}): with_params does not fit {params.__name__}: {_first(exc)}") from exc


def _check(name: str, document: Mapping[str, Any]) -> None:
    """What can be said without the other kinds; the rest is said when it is applied."""
    try:
        ScheduleDocument.model_validate_json(to_json(document))
    except ValidationError as exc:
        raise ValueError(f"@scheduled({name!r}): {_first(exc)}") from exc
    if sum(rule in document for rule in RULES) != 1:
        raise ValueError(f"@scheduled({name!r}): give exactly one of {', '.join(RULES)}")
    _refuse(name, "timezone", partial(zone_of, document["timezone"]))
    if "cron" in document:
        _refuse(name, "cron", partial(cron_patterns.parse, document["cron"]))
    zone = zone_of(document["timezone"])
    for field in _MOMENTS:
        if field in document:
            _refuse(name, field, partial(local_moment, document[field], zone))


def _refuse(name: str, field: str, read: Callable[[], object]) -> None:
    try:
        read()
    except ValueError as exc:
        raise ValueError(f"@scheduled({name!r}): {field}: {exc}") from exc


def _path(name: str, function: Any) -> str:
    """`module:function`, by which a worker finds it."""
    if not isinstance(function, FunctionType):
        raise TypeError(f"@scheduled({name!r}) stands before a plain function, not before {function!r}")
    called = function.__qualname__
    if "kind" in vars(function):
        raise TypeError(f"@scheduled({name!r}): {called} has a kind already; a kind may have more schedules, see Kind")
    if called == "<lambda>" or "." in called:
        raise TypeError(
            f"@scheduled({name!r}): a worker finds a function by its module and name, so it cannot be a lambda, nor"
            f" stand in a function or class, as {called} does"
        )
    if function.__module__ == "__main__":
        raise TypeError(f"@scheduled({name!r}): put {called} into a module that workers can import, not into a script")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"@scheduled({name!r}): {called} must return its result, so no coroutine and no generator")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as exc:
        raise TypeError(f"@scheduled({name!r}): {called} is called with (work, params): {exc}") from exc
    return f"{function.__module__}:{called}"


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _first(exc: ValidationError) -> str:
    error = exc.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].removeprefix('Value error, ')}"
