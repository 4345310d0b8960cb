"""A tenant's own template: its document, checked whole, so that whatever its overrides allow makes steps. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_core import to_json

from storage.model import Json
from tasks.document import parse
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import flaws_of
from tasks.names import MAX_STEPS, TENANT_KINDS, Kind
from tasks.params import Params
from tasks.spec import JobSpec
from tasks.template_overrides import Override, extremes
from tasks.template_places import place_flaw, within
from tasks.templates import MAX_BYTES, Template, expanded
from tasks.values import MAX_FLAWS, escape

MAX_OVERRIDES = 32
MAX_DESCRIPTION = 1000
MAX_WORK = 8_000_000  # bytes of steps that are looked at to try what overrides allow: about a second
OVERRIDE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
RESERVED = frozenset({"template", "tenant"})  # of the query in which overrides stand beside it

_PER_STEP = 100  # bytes that take as long as a step does by itself
_OVERRIDE = re.compile(OVERRIDE_PATTERN.removeprefix("^").removesuffix("$"))


class TemplateRequest(Params):
    """What a template is to be from now on: a new version."""

    description: Annotated[str, Field(max_length=MAX_DESCRIPTION, description="for people")] = ""
    steps: Annotated[
        dict[str, dict[str, Any]],
        Field(
            min_length=1,
            max_length=MAX_STEPS,
            description="Steps as a job has them, once the overrides' defaults are put in.",
        ),
    ]
    overrides: Annotated[
        dict[str, Override],
        Field(
            max_length=MAX_OVERRIDES,
            description="What a job may change of them, by the names that its `with` uses; nothing else.",
        ),
    ] = {}  # noqa: RUF012 - pydantic copies it


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateSpec:
    """A checked document: the template, without a version yet, its overrides as kept, and a job that comes of it."""

    template: Template
    overrides: Mapping[str, Json]
    job: JobSpec


def check(
    name: str,
    given: Json,
    *,
    kinds: Mapping[str, Kind] = TENANT_KINDS,
    also: Callable[[JobSpec], None] = lambda _: None,
) -> TemplateSpec:
    """Check a template's document: its places are there, and its defaults and the edges of all values make a job.

    `also` may raise InvalidDocument for each of these jobs. Raises InvalidDocument with its flaws, MAX_FLAWS at most.
    """
    try:
        wish = TemplateRequest.model_validate_json(to_json(given))
    except ValidationError as exc:
        raise InvalidDocument(flaws_of(exc, TemplateRequest, "")) from exc
    if len(to_json(given)) > MAX_BYTES:
        raise _invalid("", f"is larger than {MAX_BYTES} bytes, the limit of a template")
    flaws = list(islice(_override_flaws(given["steps"], wish.overrides), MAX_FLAWS))
    if flaws:
        raise InvalidDocument(flaws)
    template = Template(
        name=name, version=1, description=wish.description, steps=given["steps"], overrides=wish.overrides
    )
    trials = _trials(wish.overrides)
    if len(trials) * (len(to_json(given["steps"])) + _PER_STEP * len(wish.steps)) > MAX_WORK:
        detail = "allow more values than can be tried with steps of this size: shorten the enums, or the steps"
        raise _invalid("/overrides", detail)
    job = _tried(template, {}, kinds, also)
    for trial in trials:
        _tried(template, trial, kinds, also)
    kept = {key: one.model_dump(mode="json", exclude_defaults=True) for key, one in wish.overrides.items()}
    return TemplateSpec(template=template, overrides=kept, job=job)


def _trials(overrides: Mapping[str, Override]) -> list[dict[str, Json]]:
    """What is tried: each override at each of its edges, with all others as they are by default."""
    return [{name: value} for name, one in overrides.items() for value in extremes(one)]


def _tried(
    template: Template, given: Mapping[str, Json], kinds: Mapping[str, Kind], also: Callable[[JobSpec], None]
) -> JobSpec:
    try:
        flaws: list[Flaw] = []
        steps = expanded(template, given, flaws)
        if flaws:
            raise InvalidDocument(flaws)
        job = parse({"steps": steps}, kinds=kinds)
        also(job)
        return job
    except InvalidDocument as exc:
        raise InvalidDocument([_placed(given, flaw) for flaw in exc.flaws]) from exc


def _placed(given: Mapping[str, Json], flaw: Flaw) -> Flaw:
    """A flaw of the job at the place of the template that led to it: the override that was tried, if one was."""
    for name, value in given.items():
        tried = to_json(value).decode()[:100]
        detail = f"with {tried}, which it allows, {flaw.pointer} would be wrong: {flaw.detail}"
        return Flaw(pointer=f"/overrides/{escape(name)}", detail=detail)
    return flaw


def _override_flaws(steps: Json, overrides: Mapping[str, Override]) -> Iterator[Flaw]:
    seen = _Places()
    for name, override in overrides.items():
        at = f"/overrides/{escape(name)}"
        if not _OVERRIDE.fullmatch(name) or name in RESERVED:
            detail = "an override's name is 1 to 64 of a-z 0-9 _, beginning with a letter, not 'template' or 'tenant'"
            yield Flaw(pointer=at, detail=detail)
        if (wrong := place_flaw(steps, override)) is not None:
            yield Flaw(pointer=at, detail=f"{wrong[0]!r} {wrong[1]}")
            continue
        for place in override.places:
            if (other := seen.take(place, name)) is not None:
                yield Flaw(pointer=at, detail=f"{place!r} is changed by {other!r} as well, there or around it")
        yield from _repeat_flaws(name, override, overrides, at)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Places:
    """The places that are changed, and those in which one of them lies, each with the override that does it."""

    changed: dict[str, str] = field(default_factory=dict)
    around: dict[str, str] = field(default_factory=dict)

    def take(self, place: str, name: str) -> str | None:
        """Note the place; returns the override that changes it as well, what it lies in, or what lies in it."""
        parts = place.split("/")
        outer = ["/".join(parts[:end]) for end in range(2, len(parts))]
        other = self.changed.get(place) or self.around.get(place)
        other = other or next((self.changed[one] for one in outer if one in self.changed), None)
        self.changed[place] = name
        self.around.update(dict.fromkeys(outer, name))
        return other


def _repeat_flaws(name: str, override: Override, overrides: Mapping[str, Override], at: str) -> Iterator[Flaw]:
    """Elements are repeated apart from one another."""
    for other, one in overrides.items():
        if other == name:
            return
        if override.repeat is None or one.repeat is None:
            continue
        pair = (override.repeat, one.repeat)
        if pair[0] == pair[1] or within(*pair) or within(*reversed(pair)):
            yield Flaw(pointer=at, detail=f"repeats what {other!r} repeats as well")


def _invalid(pointer: str, detail: str) -> InvalidDocument:
    return InvalidDocument([Flaw(pointer=pointer, detail=detail)])
