"""The job's `input`: an upload, or a URL whose file a step of its own fetches for all steps that need it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from pydantic_core import to_json

from storage.image_model import UploadId, is_upload_id
from tasks.errors import Flaw
from tasks.fetch_params import MAX_FILENAME, InputFetch, flaws
from tasks.flaws import flaws_of
from tasks.names import KINDS, MAX_STEPS, Kind
from tasks.spec import StepSpec
from tasks.values import MAX_FLAWS, escape

INPUT = "input"  # the field, and the step
FETCH: Kind = KINDS["input.fetch"]
_UPLOAD = "upload"  # its field, beside those of input.fetch


def upload_of(document: Mapping[str, Any], found: list[Flaw]) -> UploadId | None:
    """The upload that is the job's file; None if the `input` is no upload, or has flaws, which are added."""
    if not is_upload(document):
        return None
    given = document[INPUT]
    if others := sorted(given.keys() - {_UPLOAD})[:MAX_FLAWS]:
        detail = "has no place beside an upload, which is a file that is there already"
        found += [Flaw(pointer=f"/{INPUT}/{escape(name[:64])}", detail=detail) for name in others]
        return None
    if not isinstance(given[_UPLOAD], str) or not is_upload_id(given[_UPLOAD]):
        found.append(Flaw(pointer=f"/{INPUT}/{_UPLOAD}", detail="must be the id of an upload, such as upl_…"))
        return None
    return UploadId(given[_UPLOAD])


def is_upload(document: Mapping[str, Any]) -> bool:
    """Whether the document's `input` is an upload, whatever else may be wrong with it."""
    return isinstance(document.get(INPUT), dict) and _UPLOAD in document[INPUT]


def fetch_of(document: Mapping[str, Any], steps: Mapping[str, Any], found: list[Flaw]) -> StepSpec | None:
    """The step that fetches the job's file; None if the `input` is no URL, or has flaws, which are added."""
    if INPUT not in document or is_upload(document):
        return None
    given, before = document[INPUT], len(found)
    if INPUT in steps:
        detail = "the step that fetches the job's input has this name: give this one another, or leave out 'input'"
        found.append(Flaw(pointer=f"/steps/{INPUT}", detail=detail))
    elif len(steps) == MAX_STEPS:
        detail = f"has {len(steps)} steps besides the one that fetches its input; a job has at most {MAX_STEPS}"
        found.append(Flaw(pointer="/steps", detail=detail))
    if not isinstance(given, dict):
        found.append(
            Flaw(pointer=f"/{INPUT}", detail='must be an object, such as {"url": "https://…"} or {"upload": "upl_…"}')
        )
        return None
    checked = _checked(given, found)
    if checked is None or len(found) > before:
        return None
    return StepSpec(name=INPUT, kind=FETCH, params=given, checked=checked, use=())


def put_in(fetch: StepSpec | None, specs: Sequence[StepSpec]) -> list[StepSpec]:
    """The steps with the one that fetches the input before them, which all use that need the job's file."""
    if fetch is None:
        return list(specs)
    makers = {INPUT, *(spec.name for spec in specs if spec.kind.makes(spec.checked))}
    linked = [
        replace(spec, use=(*spec.use, INPUT)) if spec.kind.needs_file and makers.isdisjoint(spec.use) else spec
        for spec in specs
    ]
    users = [spec for spec in linked if spec.kind.needs_file and INPUT in spec.use]
    return [_for_users(fetch, users), *linked]


def plain_filename(raw: str) -> str:
    """The last part of a file's name, printable, for people to read: it never becomes part of a path or key."""
    name = re.split(r"[/\\]", unquote(raw))[-1]
    printable = "".join(character for character in name if character.isprintable()).strip(". ")
    return printable[:MAX_FILENAME] or "upload"


def _checked(given: Mapping[str, Any], found: list[Flaw]) -> InputFetch | None:
    try:
        checked = InputFetch.model_validate_json(to_json(given))
    except ValidationError as exc:
        found += flaws_of(exc, InputFetch, f"/{INPUT}")
        return None
    found += flaws(checked, (), f"/{INPUT}")
    return checked


def _for_users(fetch: StepSpec, users: Sequence[StepSpec]) -> StepSpec:
    """The step with the types that it refuses for those who work on its file, if it was not told which to take."""
    types = [f"!{media_type}" for media_type in sorted({one for user in users for one in user.kind.no_files})]
    if not types or fetch.params.get("types") is not None:
        return fetch
    params = {**fetch.params, "types": types}
    return replace(fetch, params=params, checked=fetch.checked.model_copy(update={"types": types}))
