"""The document of a schedule: checked whole, with every default filled in, and read again when it fires. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from storage.model import Json
from storage.schedule_model import CatchUp, Overlap, Schedule
from tasks import cron, document, placeholders
from tasks.calendar import At, Calendar, Every, local_moment, zone_of
from tasks.errors import Flaw, InvalidDocument
from tasks.flaws import flaws_of
from tasks.names import KINDS, TENANT_KINDS, Kind
from tasks.schedule_document import PLACEHOLDERS, RULES, OperatorScheduleDocument, ScheduleDocument
from tasks.spec import JobSpec, check_needs_no_file
from tasks.templates import Resolve, shipped
from tasks.values import MAX_FLAWS, storable

_SAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Terms(NamedTuple):
    """What a checked document says, ready for use; durations in seconds."""

    calendar: Calendar
    overlap: Overlap
    catch_up: CatchUp
    catch_up_seconds: float
    jitter_seconds: float
    max_runs: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSpec:
    """A checked document: as it is kept, what it says, a job as it would fire, how many steps of each queue start."""

    name: str | None
    document: dict[str, Json]
    terms: Terms
    job: JobSpec
    starts: dict[str, int]


def parse(
    given: Json,
    *,
    now: datetime,
    before: Mapping[str, Json] | None = None,
    kinds: Mapping[str, Kind] = TENANT_KINDS,
    templates: Resolve = shipped,
    operator: bool = False,
) -> ScheduleSpec:
    """Check a schedule's document; `before` is the one that it replaces, if any.

    `templates` finds the one that its job names: the document keeps the name, and each firing finds it anew. With
    `operator` it may have the operator's own fields; without, only if it leaves those of `before` as they are.
    Raises InvalidDocument with its flaws, MAX_FLAWS at most.
    """
    if not isinstance(given, dict):
        raise InvalidDocument(
            [Flaw(pointer="", detail="a schedule is a JSON object with a cron, every or at, and a job")]
        )
    model = OperatorScheduleDocument if operator or _keeps_operators(given, before) else ScheduleDocument
    try:
        checked = model.model_validate_json(to_json(given))
    except ValidationError as exc:
        raise InvalidDocument(_with_others(flaws_of(exc, model, ""), given, kinds, templates)) from exc
    flaws = _rule_flaws(checked)
    kept, calendar = (None, None) if flaws else _calendar(checked, now, flaws)
    flaws += _name_flaws(checked.name)
    job = _job(checked.job, kinds, templates, flaws)
    if calendar is not None and kept is not None and not flaws:
        flaws += _time_flaws(checked, calendar, now, before)
    if flaws or job is None or calendar is None or kept is None:
        raise InvalidDocument(flaws[:MAX_FLAWS])
    return ScheduleSpec(name=checked.name, document=kept, terms=terms(kept), job=job, starts=_starts(job))


def terms(kept: Mapping[str, Json]) -> Terms:
    """What a document says that `parse` has checked and filled in."""
    zone = zone_of(kept["timezone"])
    rule: cron.Cron | Every | At
    if kept["cron"] is not None:
        rule = cron.parse(kept["cron"])
    elif kept["every"] is not None:
        rule = Every(seconds=kept["every"], anchor=datetime.fromisoformat(kept["anchor"]))
    else:
        rule = At(moment=datetime.fromisoformat(kept["at"]))
    calendar = Calendar(
        rule=rule,
        zone=zone,
        start_at=_moment(kept["start_at"]),
        end_at=_moment(kept["end_at"]),
        exclude=frozenset(date.fromisoformat(day) for day in kept["exclude"]),
    )
    return Terms(
        calendar=calendar,
        overlap=Overlap(kept["overlap"]),
        catch_up=CatchUp(kept["catch_up"]),
        catch_up_seconds=kept["catch_up_seconds"],
        jitter_seconds=kept["jitter_seconds"],
        max_runs=kept["max_runs"],
    )


def terms_if_any(kept: Mapping[str, Json]) -> Terms | None:
    """The same; None for one that cannot be read any more, since the tz database has lost its zone."""
    try:
        return terms(kept)
    except ValueError:
        return None


def job_at(
    schedule: Schedule, nominal_at: datetime, kinds: Mapping[str, Kind] = KINDS, templates: Resolve = shipped
) -> JobSpec:
    """The job that the schedule submits for a nominal time.

    Raises InvalidDocument: a kind may be gone by now, or a template have a newer version that lets change less.
    """
    asked = schedule.document["job"]
    if placeholders.has_any(asked):
        asked = placeholders.render(asked, _values(schedule, nominal_at))
    spec = document.parse(asked, kinds=kinds, templates=templates)
    check_needs_no_file(spec)
    return spec


def jitter(schedule_id: str, nominal_at: datetime, jitter_seconds: float) -> float:
    """Seconds after its nominal time at which a firing is due: within the jitter, and always the same for it."""
    if not jitter_seconds:
        return 0.0
    digest = hashlib.sha256(f"{schedule_id} {nominal_at.timestamp()}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * jitter_seconds


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC, with Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _keeps_operators(given: Mapping[str, Json], before: Mapping[str, Json] | None) -> bool:
    """Whether these are the operator's own fields as they stand: whoever changes something else may leave them."""
    own = OperatorScheduleDocument.model_fields.keys() - ScheduleDocument.model_fields.keys()
    return before is not None and all(name in before and given.get(name) == before[name] for name in own)


def _rule_flaws(checked: ScheduleDocument) -> list[Flaw]:
    given = [rule for rule in RULES if getattr(checked, rule) is not None]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "has none of them"
        return [Flaw(pointer="", detail=f"a schedule needs exactly one of cron, every and at; this one {said}")]
    if checked.anchor is not None and checked.every is None:
        return [Flaw(pointer="/anchor", detail="belongs to 'every', which is not given")]
    return []


def _calendar(
    checked: ScheduleDocument, now: datetime, flaws: list[Flaw]
) -> tuple[dict[str, Json] | None, Calendar | None]:
    """The document as it is kept, and its calendar; None and None if it has none."""
    kept = checked.model_dump(mode="json")
    try:
        zone = zone_of(checked.timezone)
    except ValueError as exc:
        flaws.append(Flaw(pointer="/timezone", detail=str(exc)))
        return None, None
    before = len(flaws)
    for field in ("anchor", "at", "start_at", "end_at"):
        if kept[field] is not None:
            kept[field] = _checked(f"/{field}", partial(_utc, kept[field], zone), flaws)
    if checked.every is not None and checked.anchor is None:
        kept["anchor"] = utc_text(now.replace(microsecond=0))
    if checked.cron is not None:
        kept["cron"] = _checked("/cron", lambda: cron.parse(checked.cron or "").text, flaws)
    for position, day in enumerate(checked.exclude):
        _checked(f"/exclude/{position}", partial(date.fromisoformat, day), flaws)
    kept["exclude"] = sorted(set(checked.exclude))
    return (None, None) if len(flaws) > before else (kept, terms(kept).calendar)


def _with_others(
    flaws: list[Flaw], given: Mapping[str, Json], kinds: Mapping[str, Kind], templates: Resolve
) -> list[Flaw]:
    """What is wrong with the fields, and with what stands in those that are right: all of it is told at once."""
    wrong = {flaw.pointer.split("/")[1] for flaw in flaws if flaw.pointer}
    if isinstance(given.get("cron"), str) and "cron" not in wrong:
        _checked("/cron", partial(cron.parse, given["cron"]), flaws)
    if isinstance(given.get("timezone"), str) and "timezone" not in wrong:
        _checked("/timezone", partial(zone_of, given["timezone"]), flaws)
    if isinstance(given.get("job"), dict) and "job" not in wrong:
        _job(given["job"], kinds, templates, flaws)
    return flaws[:MAX_FLAWS]


def _checked(pointer: str, read: Any, flaws: list[Flaw]) -> Any:
    """What `read` returns; if it raises ValueError that is a flaw."""
    try:
        return read()
    except ValueError as exc:
        flaws.append(Flaw(pointer=pointer, detail=str(exc)))
        return None


def _utc(text: str, zone: Any) -> str:
    return utc_text(local_moment(text, zone))


def _name_flaws(name: str | None) -> list[Flaw]:
    if name is not None and (storable(name) != name or not name.isprintable() or name != name.strip()):
        return [Flaw(pointer="/name", detail="must be printable, without spaces around it")]
    if name is not None and name.startswith("sch_"):
        return [Flaw(pointer="/name", detail="must not begin with sch_, as ids do")]
    return []


def _time_flaws(
    checked: ScheduleDocument, calendar: Calendar, now: datetime, before: Mapping[str, Json] | None
) -> list[Flaw]:
    """A schedule that could never fire is a mistake, unless it has fired and is changed in something else."""
    if checked.every is not None and checked.jitter_seconds > checked.every:
        return [
            Flaw(pointer="/jitter_seconds", detail=f"must not be longer than the interval, {checked.every} seconds")
        ]
    if calendar.start_at and calendar.end_at and calendar.start_at > calendar.end_at:
        return [Flaw(pointer="/end_at", detail="is before start_at")]
    if calendar.after(now) is not None or (before is not None and terms(before).calendar == calendar):
        return []
    field = next(rule for rule in RULES if getattr(checked, rule) is not None)
    if field == "at":
        detail = "is in the past; POST …/trigger on a schedule runs it now"
        return (
            [Flaw(pointer="/at", detail=detail)]
            if isinstance(calendar.rule, At) and calendar.rule.moment <= now
            else [Flaw(pointer="/at", detail="never comes, between start_at and end_at and beside exclude")]
        )
    return [Flaw(pointer=f"/{field}", detail="never fires, between start_at and end_at and beside exclude")]


def _job(asked: Json, kinds: Mapping[str, Kind], templates: Resolve, flaws: list[Flaw]) -> JobSpec | None:
    """The job as a firing would submit it."""
    found = placeholders.unknown(asked, PLACEHOLDERS)
    if not found:
        values = dict.fromkeys(PLACEHOLDERS, utc_text(_SAMPLE_TIME))
        try:
            spec = document.parse(placeholders.render(asked, values), kinds=kinds, templates=templates)
            if spec.file_step is None:
                return spec
            detail = (
                f"step {spec.file_step!r} works on a file: say in input.url where it is fetched from, or in "
                "input.upload which upload it is"
            )
            found = [Flaw(pointer="", detail=detail)]
        except InvalidDocument as exc:
            found = list(exc.flaws)
    flaws += [Flaw(pointer=f"/job{flaw.pointer}", detail=flaw.detail) for flaw in found]
    return None


def _starts(job: JobSpec) -> dict[str, int]:
    starts: dict[str, int] = {}
    for step in job.steps:
        if not step.use:
            starts[step.kind.queue.value] = starts.get(step.kind.queue.value, 0) + 1
    return starts


def _values(schedule: Schedule, nominal_at: datetime) -> dict[str, str]:
    local = nominal_at.astimezone(zone_of(schedule.document["timezone"]))
    return {
        "schedule.id": schedule.id,
        "schedule.name": schedule.name or schedule.id,
        "schedule.fire_time": utc_text(nominal_at),
        "schedule.local_time": local.isoformat(),
        "schedule.local_date": local.date().isoformat(),
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
