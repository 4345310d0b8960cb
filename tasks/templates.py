"""Templates: a job's steps under a name, in versions that never change, and what a caller may change of them. Pure.

`NAME@2` is a version, a bare NAME the newest. Steps are put in at the door: rows hold steps, and no template.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from pydantic_core import to_json

from storage.model import Json
from tasks.errors import Flaw, TemplateUnknown
from tasks.flaws import listed, nearest
from tasks.shipped_templates import SHIPPED as _DATA
from tasks.template_overrides import Override, from_text, unfit
from tasks.template_places import put, within
from tasks.values import MAX_FLAWS, escape

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}(@[1-9][0-9]{0,8})?$"
MOST_LISTED = 20  # names of templates in a flaw
MAX_BYTES = 65_536  # of a template, and of the steps that come of it

_REFERENCE = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})(?:@([1-9][0-9]{0,8}))?")
_NUMBERS = re.compile(r"/[0-9]+(?=/|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A version of a template; `steps` as a job has them once the defaults are in. `created_at`: None if shipped."""

    name: str
    version: int
    description: str
    steps: Mapping[str, Json]
    overrides: Mapping[str, Override]
    created_at: datetime | None = None

    @property
    def reference(self) -> str:
        """What names this very version."""
        return f"{self.name}@{self.version}"


Resolve = Callable[[str], Template]
"""Finds what a reference names. Raises TemplateUnknown."""

SHIPPED: Mapping[str, tuple[Template, ...]] = {
    name: tuple(
        Template(
            name=name,
            version=version,
            description=made["description"],
            steps=made["steps"],
            overrides={key: Override.model_validate(one) for key, one in made["overrides"].items()},
        )
        for version, made in enumerate(versions, start=1)
    )
    for name, versions in _DATA.items()
}
"""The templates that come with the platform, by name: all versions, oldest first."""


def split(reference: str) -> tuple[str, int | None] | None:
    """The name and the version that a reference speaks of, if any; None if it is none."""
    found = _REFERENCE.fullmatch(reference)
    return None if found is None else (found[1], int(found[2]) if found[2] else None)


def shipped(reference: str) -> Template:
    """The shipped template of this name and version. Raises TemplateUnknown."""
    name, version = split(reference) or (reference, None)
    versions = SHIPPED.get(name)
    if versions is None:
        raise TemplateUnknown(name, known=SHIPPED)
    if version is not None and version > len(versions):
        raise TemplateUnknown(name, version=version, newest=len(versions))
    return versions[-1 if version is None else version - 1]


def owned(document: Json) -> str | None:
    """The reference by which a job's document names a template that is not shipped; None if it names none."""
    reference = document.get("template") if isinstance(document, dict) else None
    named = split(reference) if isinstance(reference, str) else None
    return None if named is None or named[0] in SHIPPED else reference


def found(reference: Json, resolve: Resolve, flaws: list[Flaw]) -> Template | None:
    """The template that a document names; None and a flaw if there is none."""
    try:
        return resolve(reference) if isinstance(reference, str) else shipped(str(reference))
    except TemplateUnknown as exc:
        if exc.version is not None:
            detail = f"{exc.name!r} has no version {exc.version}; its newest is {exc.newest}"
        else:
            hint, others = nearest(exc.name, exc.known), " and others" if len(exc.known) > MOST_LISTED else ""
            known = listed(islice(exc.known, MOST_LISTED))
            detail = f"there is no such template{hint}; there are: {known}{others}"
        flaws.append(Flaw(pointer="/template", detail=detail))
        return None


def expanded(template: Template, given: Json, flaws: list[Flaw], *, at: str = "/with") -> Mapping[str, Json]:
    """The template's steps with what the caller gave; none, and flaws below `at`, if that cannot be put in."""
    if not isinstance(given, dict):
        flaws.append(Flaw(pointer=at, detail='must be an object of what is changed, such as {"quality": 70}'))
        return {}
    wrong = [*_flaws(template, given, at)][:MAX_FLAWS]
    if wrong:
        flaws += wrong
        return {}
    steps = put(template.steps, template.overrides, given)
    if len(to_json(steps)) > MAX_BYTES:
        flaws.append(Flaw(pointer=at, detail=f"would make the template's steps larger than {MAX_BYTES} bytes"))
        return {}
    return steps


def read(template: Template, texts: Mapping[str, str]) -> dict[str, Json]:
    """The values that texts stand for, as a query has them; what the template does not know stays as it is."""
    known = template.overrides
    return {name: from_text(known[name], text) if name in known else text for name, text in texts.items()}


def blamed(template: Template, given: Json, flaw: Flaw) -> Flaw:
    """A flaw of the steps that came of a template, at the place of the document that led to it.

    `flaw.pointer` speaks of the steps.
    """
    detail = f"{flaw.detail} (at {flaw.pointer} of the steps of {template.reference})"
    guilty = next(_guilty(template, given, flaw.pointer), None)
    return Flaw(pointer="/template" if guilty is None else f"/with/{escape(guilty)}", detail=detail)


def _flaws(template: Template, given: Mapping[str, Json], at: str) -> Iterator[Flaw]:
    for name, value in given.items():
        override = template.overrides.get(name)
        if override is None:
            known = listed(template.overrides)
            hint = nearest(name, template.overrides) or (f"; there are: {known}" if known else "")
            detail = f"is nothing to change in {template.reference}{hint}"
            yield Flaw(pointer=f"{at}/{escape(name)}", detail=detail)
        elif (why := unfit(override, value)) is not None:
            yield Flaw(pointer=f"{at}/{escape(name)}", detail=why)


def _guilty(template: Template, given: Json, pointer: str) -> Iterator[str]:
    """The overrides that were given and lead to the pointer: as it stands, or in a copy of a repeated element."""
    names = [name for name in template.overrides if isinstance(given, dict) and name in given]
    for shaped in (str, _shape):
        for name in names:
            override = template.overrides[name]
            places = [*override.places, *([] if override.repeat is None else [override.repeat.rpartition("/")[0]])]
            if any(_touch(shaped(place), shaped(pointer)) for place in places):
                yield name


def _touch(place: str, pointer: str) -> bool:
    return place == pointer or within(place, pointer) or within(pointer, place)


def _shape(pointer: str) -> str:
    """A pointer without the places in lists, which repeating changes."""
    return _NUMBERS.sub("/0", pointer)
