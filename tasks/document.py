"""The job's document, as HTTP, schedules and batches give it: checked whole, every flaw named by its place. Pure."""

import difflib
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from storage.model import StopWhen
from storage.unique_model import Unique, UniqueMode
from tasks import conditions, relations
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import flaws_of, listed, nearest, unknown_fields
from tasks.input_document import INPUT, fetch_of, is_upload, put_in, upload_of
from tasks.names import MAX_STEPS, TENANT_KINDS, Kind, Priority
from tasks.notices import notify_of
from tasks.params import NAME_PATTERN
from tasks.spec import JobSpec, StepSpec
from tasks.templates import Resolve, Template, blamed, expanded, found, shipped
from tasks.values import MAX_FLAWS, escape, storable

MAX_METADATA_BYTES = 16_384
MAX_FIELDS = 64  # of a step: more than any kind has
_NAME = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))
MAX_DEADLINE_SECONDS = 30 * 86_400
MAX_UNIQUE_KEY = 255
MAX_TTL_SECONDS = 30 * 86_400
_OWN_FIELDS = ("input", "priority", "metadata", "deadline_seconds", "unique_key", "unique", "notify")
_FIELDS = ("template", "with", "steps", *_OWN_FIELDS)
STEP_FIELDS = ("kind", "use", "stop_when")
_STOP_FIELDS = ("condition", "code", "message")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_STOP_MESSAGE = 1000


def parse(document: Any, *, kinds: Mapping[str, Kind] = TENANT_KINDS, templates: Resolve = shipped) -> JobSpec:
    """Check a job's document against the kinds; `templates` finds the one that it names, if it names one.

    Raises InvalidDocument with its flaws, MAX_FLAWS at most.
    """
    if not isinstance(document, dict):
        raise InvalidDocument([Flaw(pointer="", detail="a job is a JSON object with steps or a template")])
    flaws = list(islice(unknown_fields("", document, _FIELDS), MAX_FLAWS))
    template, steps = _steps_of(document, flaws, templates)
    steps_at = "/steps" if template is None else ""
    fetch, upload = fetch_of(document, steps, flaws), upload_of(document, flaws)
    named = {**steps, INPUT: {}} if INPUT in document and not is_upload(document) else steps
    before = len(flaws)
    specs: list[StepSpec | None] = []
    for name, step in steps.items():
        if len(flaws) >= MAX_FLAWS:
            break
        specs.append(_step(f"{steps_at}/{escape(name)}", name, step, named, kinds, flaws))
    _place(flaws, before, template, document)
    priority = _priority(document.get("priority", "normal"), flaws)
    metadata = _metadata(document.get("metadata", {}), flaws)
    deadline = _seconds("/deadline_seconds", document.get("deadline_seconds"), MAX_DEADLINE_SECONDS, flaws)
    unique = _unique(document, flaws)
    notify = notify_of(document.get("notify"), flaws)
    linked = put_in(fetch, [spec for spec in specs if spec])
    if not flaws:
        linked = relations.related(linked, steps_at, flaws)
        _place(flaws, 0, template, document)
    if flaws:
        raise InvalidDocument(flaws[:MAX_FLAWS])
    return JobSpec(
        steps=tuple(linked),
        priority=priority,
        metadata=metadata,
        deadline_seconds=deadline,
        unique=unique,
        notify=notify,
        fetches_input=fetch is not None,
        upload=upload,
        template=None if template is None else template.reference,
    )


def params_flaws(kind: Kind, params: Any, at: str) -> list[Flaw]:
    """What is wrong with a step's parameters, which stand at the pointer `at`."""
    checked = _checked(kind, params, at)
    return checked if isinstance(checked, list) else []


def _steps_of(
    document: Mapping[str, Any], flaws: list[Flaw], templates: Resolve
) -> tuple[Template | None, Mapping[str, Any]]:
    """The template that is named, if any, and the steps; none of these where there is a flaw."""
    steps = document.get("steps")
    if "with" in document and "template" not in document:
        flaws.append(Flaw(pointer="/with", detail="says what is changed of a template, which is not given"))
    if ("template" in document) == ("steps" in document):
        flaws.append(Flaw(pointer="", detail="give either steps or a template"))
    elif "template" in document:
        template = found(document["template"], templates, flaws)
        return template, {} if template is None else expanded(template, document.get("with", {}), flaws)
    elif not isinstance(steps, dict) or not steps:
        flaws.append(Flaw(pointer="/steps", detail="must be an object with at least one step: name → {kind, …}"))
    elif len(steps) > MAX_STEPS:
        flaws.append(Flaw(pointer="/steps", detail=f"has {len(steps)} steps; a job has at most {MAX_STEPS}"))
    else:
        return None, steps
    return None, {}


def _place(flaws: list[Flaw], start: int, template: Template | None, document: Mapping[str, Any]) -> None:
    """Have the flaws of steps, which begin at `start`, point at what they come of where that is a template."""
    if template is not None:
        flaws[start:] = [blamed(template, document.get("with", {}), flaw) for flaw in flaws[start:]]


def _step(
    at: str, name: str, step: Any, steps: Mapping[str, Any], kinds: Mapping[str, Kind], flaws: list[Flaw]
) -> StepSpec | None:
    if not _NAME.fullmatch(name):
        flaws.append(
            Flaw(pointer=at, detail="a step's name is 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit")
        )
    if not isinstance(step, dict):
        flaws.append(Flaw(pointer=at, detail="a step is an object with a kind and its parameters"))
        return None
    if len(step) > MAX_FIELDS:
        flaws.append(Flaw(pointer=at, detail=f"has {len(step)} fields; a step has at most {MAX_FIELDS}"))
        return None
    use = _use(at, name, step.get("use", []), steps, flaws)
    if "kind" not in step:
        near = difflib.get_close_matches("kind", [field[:100] for field in step], n=1, cutoff=0.6)
        misspelt = f", and not {near[0]!r}" if near else ""
        flaws.append(Flaw(pointer=at, detail=f"a step needs its 'kind'{misspelt}; there are: {listed(kinds)}"))
        return None
    kind = kinds.get(step["kind"]) if isinstance(step["kind"], str) else None
    if kind is None:
        hint = nearest(str(step.get("kind", "")), kinds)
        flaws.append(Flaw(pointer=f"{at}/kind", detail=f"there is no such kind{hint}; there are: {listed(kinds)}"))
        return None
    given = {field: value for field, value in step.items() if field not in STEP_FIELDS}
    checked = _checked(kind, given, at)
    if isinstance(checked, list):
        flaws += checked
        return None
    stop_when = _stop_when(f"{at}/stop_when", name, step["stop_when"], flaws) if "stop_when" in step else None
    return StepSpec(name=name, kind=kind, params=given, checked=checked, use=use, stop_when=stop_when)


def _checked(kind: Kind, params: Any, at: str) -> BaseModel | list[Flaw]:
    try:
        return kind.params.model_validate_json(to_json(params))
    except ValidationError as exc:
        return flaws_of(exc, kind.params, at)


def _stop_when(at: str, step: str, given: Any, flaws: list[Flaw]) -> StopWhen | None:
    """A condition alone, or with the code and the message of the error that the job will end with."""
    fields = {"condition": given} if isinstance(given, str) else given
    if not isinstance(fields, dict) or not isinstance(fields.get("condition"), str):
        detail = "must be a condition, or an object with a 'condition' and perhaps a 'code' and a 'message'"
        flaws.append(Flaw(pointer=at, detail=detail))
        return None
    before = len(flaws)
    flaws += islice(unknown_fields(at, fields, _STOP_FIELDS), MAX_FLAWS)
    try:
        condition = conditions.parse(fields["condition"])
    except conditions.ConditionInvalid as exc:
        pointer = at if isinstance(given, str) else f"{at}/condition"
        flaws.append(Flaw(pointer=pointer, detail=f"is no condition: {exc}"))
        return None
    code = fields.get("code", _code_of(condition))
    message = fields.get("message", f"the result of step {step!r} met its stop_when: {condition.text}")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        flaws.append(Flaw(pointer=f"{at}/code", detail="must be 1 to 64 of a-z 0-9 _, beginning with a letter"))
    if storable(fields) != fields:
        flaws.append(Flaw(pointer=at, detail="has a NUL or half of a surrogate pair, which cannot be stored"))
    if not isinstance(message, str) or not 1 <= len(message) <= MAX_STOP_MESSAGE:
        flaws.append(Flaw(pointer=f"{at}/message", detail=f"must be a string of 1 to {MAX_STOP_MESSAGE} characters"))
    return None if len(flaws) > before else StopWhen(condition=condition.text, code=code, message=message)


def _code_of(condition: conditions.Condition) -> str:
    """`moderation_rejected` for a condition on `moderation`, `rejected` for one on several things."""
    roots = list(condition.roots)
    code = f"{roots[0]}_rejected"
    return code if len(roots) == 1 and _CODE.fullmatch(code) else "rejected"


def _use(at: str, name: str, use: Any, steps: Mapping[str, Any], flaws: list[Flaw]) -> tuple[str, ...]:
    if not isinstance(use, list) or not all(isinstance(other, str) for other in use):
        flaws.append(Flaw(pointer=f"{at}/use", detail="must be a list of names of steps"))
        return ()
    if len(use) > MAX_STEPS:
        flaws.append(Flaw(pointer=f"{at}/use", detail=f"names {len(use)} steps; a job has at most {MAX_STEPS}"))
        return ()
    for position, other in enumerate(use):
        if len(flaws) >= MAX_FLAWS:
            break
        pointer = f"{at}/use/{position}"
        if other == name:
            flaws.append(Flaw(pointer=pointer, detail="a step cannot use itself"))
        elif other not in steps:
            flaws.append(Flaw(pointer=pointer, detail=f"there is no step {other[:64]!r}{nearest(other, steps)}"))
        elif other in use[:position]:
            flaws.append(Flaw(pointer=pointer, detail=f"step {other!r} stands there twice"))
    return tuple(use)


def _priority(value: Any, flaws: list[Flaw]) -> Priority:
    try:
        return Priority(value)
    except ValueError:
        flaws.append(Flaw(pointer="/priority", detail=f"must be one of {listed(Priority)}"))
        return Priority.NORMAL


def _seconds(at: str, value: Any, most: float, flaws: list[Flaw]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        flaws.append(Flaw(pointer=at, detail=f"must be a number of seconds above 0 and at most {most}"))
        return None
    return float(value)


def _unique(document: Mapping[str, Any], flaws: list[Flaw]) -> Unique | None:
    key, mode = document.get("unique_key"), document.get("unique", UniqueMode.WHILE_ACTIVE.value)
    if key is None:
        if "unique" in document:
            flaws.append(Flaw(pointer="/unique", detail="needs a unique_key beside it"))
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_UNIQUE_KEY:
        flaws.append(Flaw(pointer="/unique_key", detail=f"must be a string of 1 to {MAX_UNIQUE_KEY} characters"))
        return None
    if isinstance(mode, dict) and set(mode) == {UniqueMode.TTL}:
        ttl = _seconds("/unique/ttl_seconds", mode[UniqueMode.TTL] or 0, MAX_TTL_SECONDS, flaws)
        return None if ttl is None else Unique(key=key, mode=UniqueMode.TTL, ttl_seconds=ttl)
    if mode not in (UniqueMode.WHILE_QUEUED.value, UniqueMode.WHILE_ACTIVE.value):
        detail = "must be 'while_queued', 'while_active' or {\"ttl_seconds\": a number}"
        flaws.append(Flaw(pointer="/unique", detail=detail))
        return None
    return Unique(key=key, mode=UniqueMode(mode))


def _metadata(value: Any, flaws: list[Flaw]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        flaws.append(Flaw(pointer="/metadata", detail="must be an object"))
        return {}
    if len(to_json(value)) > MAX_METADATA_BYTES:
        flaws.append(Flaw(pointer="/metadata", detail=f"is larger than {MAX_METADATA_BYTES} bytes as JSON"))
    return value
