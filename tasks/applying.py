"""Schedules as code: a source says which it wants, and they are made so at every start; all of them, or nothing.

A source is what applies schedules again and again: the schedules file, the installed kinds, an import from Celery beat.
Its schedules are known by tenant and name, so a new name is a new schedule.
"""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from storage import schedule_sources, schedules, tenants
from storage.database import Database, PlatformTx
from storage.model import Json, TenantId
from storage.schedule_model import Schedule
from tasks import scheduling
from tasks.errors import ConfigurationError, Flaw, InvalidDocument, TasksError
from tasks.flaws import nearest
from tasks.names import KINDS, Kind
from tasks.own_templates import resolver
from tasks.schedule_document import RULES
from tasks.schedules import ScheduleSpec, parse
from tasks.templates import Resolve, owned, shipped
from tasks.values import parse_json, storable

FILE, KINDS_SOURCE, PLATFORM_SOURCE = "file", "kinds", "platform"  # what the rows call these sources
PLATFORM_FILE = Path(__file__).parent.parent / "deploy" / "schedules.toml"  # always applied, beside an operator's own
PLATFORM = "platform"  # the tenant of a schedule that names none
MAX_TENANT_NAME = 100
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A schedule that is to stand: the tenant's name, and the schedule's document as HTTP takes it, with a name."""

    tenant: str
    document: Mapping[str, Json]

    @property
    def name(self) -> str:
        return str(self.document.get("name") or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What became of a source's schedules: tenant and name of each.

    `over` are those that would never fire any more and that do not stand: they are not made; `taken` those whose name
    another source has.
    """

    created: Sequence[tuple[str, str]] = ()
    changed: Sequence[tuple[str, str]] = ()
    deleted: Sequence[tuple[str, str]] = ()
    untouched: Sequence[tuple[str, str]] = ()
    over: Sequence[tuple[str, str]] = ()
    taken: Sequence["EntryFlaw"] = ()

    @property
    def lines(self) -> list[str]:
        """What was done, such as "created nightly of platform"; at least one line."""
        acts = {"created": self.created, "changed": self.changed, "deleted": self.deleted}
        told = [f"{act} {name} of {tenant}" for act, some in acts.items() for tenant, name in some]
        told += [f"not created {name} of {tenant}: it would never fire any more" for tenant, name in self.over]
        told += [f"left out {entry}: {flaw.detail}" for entry, flaw in self.taken]
        return [*told, f"untouched: {len(self.untouched)}"]


class EntryFlaw(NamedTuple):
    """A flaw of one schedule of several; `entry` is its name."""

    entry: str
    flaw: Flaw


class SchedulesRefused(TasksError):
    """A source's schedules cannot be applied, and none of them was; `flaws` says why, a line each."""

    def __init__(self, where: str, flaws: Sequence[EntryFlaw]) -> None:
        lines = (": ".join(part for part in (where, entry, flaw.pointer, flaw.detail) if part) for entry, flaw in flaws)
        super().__init__("\n".join(lines))
        self.where = where
        self.flaws = tuple(flaws)


class NamesTaken(SchedulesRefused):
    """Nothing is wrong with the schedules, but some names stand already, made over HTTP or by another source."""


class _Planned(NamedTuple):
    wanted: Wanted
    tenant_id: TenantId
    standing: Schedule | None
    spec: ScheduleSpec
    is_over: bool
    is_taken: bool


def apply(
    database: Database,
    source: str,
    wanted: Sequence[Wanted],
    *,
    where: str = "",
    prune_in: Collection[str] | None = None,
    dry_run: bool = False,
    spare_taken: bool = False,
    kinds: Mapping[str, Kind] = KINDS,
) -> Applied:
    """Have exactly these schedules of the source stand, in one transaction; those that do already are not touched.

    Others of the source are deleted: with `prune_in` only those of tenants with these names. `where` stands before each
    flaw. With `dry_run` everything is done and taken back; with `spare_taken` those whose name another source has are
    left out. Any number of processes may do this at once. Raises SchedulesRefused, DatabaseUnavailable.
    """
    with database.platform() as tx:
        schedule_sources.lock(tx)
        done = _apply(tx, source, wanted, where, prune_in, kinds, spare_taken=spare_taken)
        if dry_run:
            tx.connection.rollback()
    return done


def read(file: Path) -> list[Wanted]:
    """What a schedules file wants: a [[schedule]] table each. Raises ConfigurationError, SchedulesRefused."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"the schedules file {file} cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"the schedules file {file} is not TOML: {exc}") from exc
    flaws = [
        EntryFlaw("", Flaw(pointer=f"/{key}", detail=f"unknown{nearest(key, ['schedule']) or '; write [[schedule]]'}"))
        for key in found
        if key != "schedule"
    ]
    tables = found.get("schedule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        flaws.append(EntryFlaw("", Flaw(pointer="/schedule", detail="each schedule begins with [[schedule]]")))
        tables = []
    return _of_tables(str(file), tables, flaws)


def of_kinds(kinds: Mapping[str, Kind] = KINDS) -> list[Wanted]:
    """What the installed kinds want. Raises SchedulesRefused."""
    return _of_tables("installed kinds", [table for kind in kinds.values() for table in kind.schedules], [])


def _of_tables(where: str, tables: Sequence[Mapping[str, Any]], flaws: list[EntryFlaw]) -> list[Wanted]:
    """Each table: a schedule's document and a `tenant`."""
    wanted: list[Wanted] = []
    for place, table in enumerate(tables):
        entry = _entry(table.get("name"), place)
        try:  # dates and times become text, and what JSON cannot carry a flaw
            document = parse_json(to_json(dict(table), inf_nan_mode="constants"))
        except InvalidDocument as exc:
            flaws += [EntryFlaw(entry, flaw) for flaw in exc.flaws]
            continue
        except PydanticSerializationError as exc:
            flaws.append(EntryFlaw(entry, Flaw(pointer="", detail=f"holds what is no JSON: {exc}")))
            continue
        wanted.append(Wanted(tenant=document.pop("tenant", PLATFORM), document=document))
    if flaws:
        raise SchedulesRefused(where, [*flaws, *_form_flaws(wanted)])
    return wanted


def _form_flaws(wanted: Sequence[Wanted]) -> list[EntryFlaw]:
    """What can be said of them without looking into the documents."""
    flaws: list[EntryFlaw] = []
    seen: set[tuple[str, str]] = set()
    for place, one in enumerate(wanted):
        entry = _entry(one.document.get("name"), place)
        tenant: object = one.tenant
        if not isinstance(tenant, str) or not 1 <= len(tenant) <= MAX_TENANT_NAME or storable(tenant) != tenant:
            detail = f"must be a tenant's name, of 1 to {MAX_TENANT_NAME} characters"
            flaws.append(EntryFlaw(entry, Flaw(pointer="/tenant", detail=detail)))
        elif not one.name:
            flaws.append(EntryFlaw(entry, Flaw(pointer="/name", detail="is missing: it is known by its name")))
        elif (tenant, one.name) in seen:
            flaws.append(EntryFlaw(entry, Flaw(pointer="/name", detail="stands there twice")))
        else:
            seen.add((tenant, one.name))
    return flaws


def _entry(name: object, place: int) -> str:
    return name if isinstance(name, str) and name else f"schedule {place + 1}"


def _apply(
    tx: PlatformTx,
    source: str,
    wanted: Sequence[Wanted],
    where: str,
    prune_in: Collection[str] | None,
    kinds: Mapping[str, Kind],
    *,
    spare_taken: bool,
) -> Applied:
    flaws = _form_flaws(wanted)
    if flaws:  # without names nothing can be found; what else is wrong is told with them
        for place, one in enumerate(wanted):
            if owned(one.document.get("job")) is None:  # whose template could be told
                _parsed(one, None, datetime.now(UTC), kinds, _entry(one.document.get("name"), place), flaws)
        raise SchedulesRefused(where, flaws)
    ids = {name: tenants.ensure(tx, name) for name in sorted({one.tenant for one in wanted})}
    taken: list[EntryFlaw] = []
    found = [_plan(tx, source, one, ids[one.tenant], kinds, flaws, taken) for one in wanted]
    if flaws or (taken and not spare_taken):
        raise (SchedulesRefused if flaws else NamesTaken)(where, [*flaws, *taken])
    plans = [plan for plan in found if plan is not None and not plan.is_taken]
    kept = {(plan.tenant_id, plan.wanted.name) for plan in plans}
    gone = [
        (name, one)
        for tenant_id, name in schedule_sources.tenants_of(tx, source, prune_in)
        for one in schedule_sources.of_source(tx.of(tenant_id), source)
        if (one.tenant_id, one.name) not in kept
    ]
    return replace(_write(tx, source, plans, gone), taken=taken)


def _plan(
    tx: PlatformTx,
    source: str,
    one: Wanted,
    tenant_id: TenantId,
    kinds: Mapping[str, Kind],
    flaws: list[EntryFlaw],
    taken: list[EntryFlaw],
) -> _Planned | None:
    of_tenant = tx.of(tenant_id)
    standing = schedules.find_by_name(of_tenant, one.name)
    is_taken = False
    if standing is not None and standing.source != source:
        maker = "over HTTP" if standing.source is None else f"by the source {standing.source!r}"
        detail = f"tenant {one.tenant!r} has a schedule of this name, made {maker}: give one of them another name"
        taken.append(EntryFlaw(one.name, Flaw(pointer="/name", detail=detail)))
        standing, is_taken = None, True
    found = _parsed(one, standing, schedules.clock(of_tenant), kinds, one.name, flaws, resolver(of_tenant, hold=True))
    return None if found is None else _Planned(one, tenant_id, standing, *found, is_taken=is_taken)


def _parsed(
    one: Wanted,
    standing: Schedule | None,
    now: datetime,
    kinds: Mapping[str, Kind],
    entry: str,
    flaws: list[EntryFlaw],
    templates: Resolve = shipped,
) -> tuple[ScheduleSpec, bool] | None:
    """The checked document, and whether its time is over: a file must not spoil because a date of it has passed."""
    before = None if standing is None else standing.document
    given = dict(one.document)
    if before is not None and given.get("every") is not None and given.get("anchor") is None:
        given["anchor"] = before["anchor"]  # else the default, now, would make it another one at every start
    try:
        return parse(given, now=now, before=before, kinds=kinds, templates=templates, operator=True), False
    except InvalidDocument as exc:
        with suppress(InvalidDocument):  # it is more than its time that is wrong: what was found first says it
            if {flaw.pointer for flaw in exc.flaws} <= {f"/{rule}" for rule in RULES}:
                return parse(given, now=_LONG_AGO, kinds=kinds, templates=templates, operator=True), True
        flaws += [EntryFlaw(entry, flaw) for flaw in exc.flaws]
        return None


def _write(tx: PlatformTx, source: str, plans: Sequence[_Planned], gone: Sequence[tuple[str, Schedule]]) -> Applied:
    """Do what is planned: rows that stand are locked in the order in which everybody locks several of them."""
    done: dict[str, Any] = {"created": [], "changed": [], "deleted": [], "untouched": [], "over": []}
    for tenant_name, one in sorted(gone, key=lambda pair: (pair[1].tenant_id, pair[1].id)):
        schedules.delete(tx.of(one.tenant_id), one.id)
        done["deleted"].append((tenant_name, one.name or one.id))
    for plan in sorted(plans, key=_place):
        done[_settle(tx, source, plan)].append((plan.wanted.tenant, plan.wanted.name))
    return Applied(**done)


def _settle(tx: PlatformTx, source: str, plan: _Planned) -> str:
    of_tenant, standing = tx.of(plan.tenant_id), plan.standing
    if standing is not None and standing.document == plan.spec.document:
        return "untouched"
    locked = None if standing is None else schedules.lock(of_tenant, standing.id)
    if locked is not None:
        scheduling.change(of_tenant, locked, plan.spec)
        return "changed"
    if plan.is_over:
        return "over"
    scheduling.create(of_tenant, plan.spec, schedules.clock(of_tenant), source=source)
    return "created"


def _place(plan: _Planned) -> tuple[str, str]:
    return plan.tenant_id, "" if plan.standing is None else plan.standing.id
