"""What callers may ask of a schedule's document, checked, and the refusals that this leads to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from pydantic import ValidationError
from pydantic_core import to_json

from api.documents import FLAWED
from api.errors import Refused
from api.schedule_schemas import PreviewOptions
from api.settings import ApiSettings
from api.targets import check_targets
from storage.model import Json
from storage.schedule_model import Locked
from tasks.calendar import local_moment
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import flaws_of
from tasks.schedule_document import RULES, ScheduleDocument
from tasks.schedules import ScheduleSpec, parse
from tasks.templates import Resolve
from tasks.values import MAX_FLAWS, merged

# What a schedule's document shows and no request sets, and what to do instead.
READ_ONLY = {
    "id": "is given by the platform; leave it out",
    "state": "is not set: POST …/pause and POST …/resume change it",
    "paused_at": "is not set: POST …/pause does it",
    "paused_reason": "is not set: POST …/pause takes a reason",
    **dict.fromkeys(("words", "next_fire_at"), "follows from the other fields; leave it out"),
    **dict.fromkeys(("runs", "source", "version", "created_at", "updated_at", "links"), "is kept here; leave it out"),
}

_FIELDS = frozenset(ScheduleDocument.model_fields)
NO_JOB = {"steps": {"preview": {"kind": "echo"}}}  # of a preview that names none


def checked(given: Json, read: Callable[[Json], ScheduleSpec], settings: ApiSettings | None = None) -> ScheduleSpec:
    """What `read` makes of a document, or Refused (422) with its flaws and those of fields that nobody sets.

    With `settings` the addresses of its job are checked, too.
    """
    flaws: list[Flaw] = []
    if isinstance(given, dict):
        flaws += [Flaw(pointer=f"/{field}", detail=READ_ONLY[field]) for field in READ_ONLY if field in given]
        given = {field: value for field, value in given.items() if field not in READ_ONLY}
    try:
        spec = read(given)
    except InvalidDocument as exc:
        raise invalid([*flaws, *exc.flaws][:MAX_FLAWS]) from exc
    if settings is not None:
        try:
            check_targets(spec.job, settings)
        except InvalidDocument as exc:
            flaws += [Flaw(pointer=f"/job{flaw.pointer}", detail=flaw.detail) for flaw in exc.flaws]
    if flaws:
        raise invalid(flaws[:MAX_FLAWS])
    return spec


@contextmanager
def refusing() -> Iterator[None]:
    """InvalidDocument, as Refused (422)."""
    try:
        yield
    except InvalidDocument as exc:
        raise invalid([*exc.flaws]) from exc


def patched(locked: Locked, patch: Json, settings: ApiSettings, templates: Resolve) -> ScheduleSpec:
    """The locked schedule's document as a JSON merge patch leaves it, checked. Raises Refused (422)."""
    if not isinstance(patch, dict):
        raise invalid([Flaw(pointer="", detail="a change is a JSON object with the fields that change")])
    before = locked.schedule.document
    kept = dict(before)
    if any(patch.get(rule) is not None for rule in RULES):
        # One rule takes the place of another: the other need not be set to null as well.
        gone = [rule for rule in RULES if rule not in patch]
        kept |= dict.fromkeys([*gone, "anchor"] if "every" in gone else gone)

    def read(changes: Json) -> ScheduleSpec:
        # To reset what no schedule has is a slip, and told as one; a merge patch alone would not notice it.
        slips = {name: None for name, value in changes.items() if value is None and name not in _FIELDS}
        document = merged(kept, changes) | slips
        if len(to_json(document)) > settings.max_job_bytes:
            detail = f"the schedule would be larger than {settings.max_job_bytes} bytes, the limit here"
            raise InvalidDocument([Flaw(pointer="", detail=detail)])
        return parse(document, now=locked.now, before=before, templates=templates)

    # What its operator has closed since must keep nobody from changing something else.
    return checked(patch, read, settings if "job" in patch else None)


def checked_preview(given: Json, now: datetime, templates: Resolve) -> tuple[ScheduleSpec, datetime, int]:
    """The schedule that is asked about, after when, and how many firings are to be told. Raises Refused (422)."""
    asked = given if isinstance(given, dict) else {}
    own = {field: asked[field] for field in PreviewOptions.model_fields if field in asked}
    options, flaws = PreviewOptions(), list[Flaw]()
    try:
        options = PreviewOptions.model_validate_json(to_json(own), strict=True)
    except ValidationError as exc:
        flaws += flaws_of(exc, PreviewOptions, "")

    def read(wish: Json) -> ScheduleSpec:
        if isinstance(wish, dict):
            wish = {"job": NO_JOB, **{field: value for field, value in wish.items() if field not in own}}
        return parse(wish, now=now, templates=templates)

    try:
        spec, after = checked(given, read), now
    except Refused as exc:
        raise invalid([*flaws, *exc.flaws][:MAX_FLAWS]) from exc
    if options.after is not None:
        try:
            after = local_moment(options.after, spec.terms.calendar.zone)
        except ValueError as exc:
            flaws.append(Flaw(pointer="/after", detail=str(exc)))
    if flaws:
        raise invalid(flaws)
    return spec, after, options.count


def invalid(flaws: list[Flaw]) -> Refused:
    """What is told of a schedule's document that is not right."""
    return Refused(422, "invalid_schedule", FLAWED, flaws=flaws)
