"""What schedules and their firings look like on the terminal."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import STYLES, printable
from api.cli.tables import Cell, Column, lasting
from api.client import Preview, Run, Schedule

STATES = {"paused": "yellow", "ended": "dim"}
OUTCOMES = {"started": "green", "missed": "red", "failed": "red", "skipped": "yellow"}
# What is told of a schedule only where it is not as it is by itself.
PLAIN: Mapping[str, object] = {
    "jitter_seconds": 0.0,
    "start_at": None,
    "end_at": None,
    "exclude": [],
    "pause_on_failure": False,
    "max_runs": None,
}


def show_all(console: Console, found: Sequence[Schedule]) -> None:
    """Print one line per schedule."""
    columns = [
        Column(title="schedule"),
        Column(title="name", cut=True, most=24),
        Column(title="state"),
        Column(title="next"),
        Column(title="runs", right=True),
        Column(title="when", cut=True),
    ]
    rows = [
        (
            Cell(text=printable(one.id)),
            Cell(text=printable(one.name or "")),
            Cell(text=printable(one.state), style=STATES.get(one.state, "")),
            at(one.next_fire_at) if one.next_fire_at else Cell(text=""),
            Cell(text=str(one.runs)),
            Cell(text=printable(one.words)),
        )
        for one in found
    ]
    tables.show(console, columns, rows)


def show(console: Console, one: Schedule) -> None:
    """Print what there is to know of a schedule."""
    state = Text(printable(one.state), style=STATES.get(one.state, ""))
    _line(console, f"{printable(one.id)}  {printable(one.name or '')}{'  ' if one.name else ''}", state)
    _line(console, printable(one.words))
    if one.next_fire_at:
        _line(console, f"next {at(one.next_fire_at).text} here, {one.next_fire_at.isoformat()}")
    if one.paused_at:
        _line(console, f"paused since {at(one.paused_at).text}: {printable(one.paused_reason or '')}")
    counted = f"{one.runs} {'firing' if one.runs == 1 else 'firings'} so far"
    _line(console, f"{counted}, version {one.version}, created {at(one.created_at).text}")
    if one.source:
        _line(console, f"applied again and again by {printable(one.source)}")
    rules = ("overlap", "catch_up", "catch_up_seconds")
    told = {name: one.document.get(name) for name in (*rules, *PLAIN)}
    for name, value in told.items():
        if name in rules or value != PLAIN[name]:
            _line(console, f"  {name}: {printable(value if isinstance(value, str) else json.dumps(value))}")
    _line(console, f"  job: {printable(json.dumps(one.document.get('job')))}")


def show_runs(console: Console, found: Sequence[Run]) -> None:
    """Print one line per firing."""
    columns = [
        Column(title="meant for"),
        Column(title="outcome"),
        Column(title="origin"),
        Column(title="late", right=True),
        Column(title="job"),
        Column(title="state"),
        Column(title="why", wrap=True),
    ]
    tables.show(console, columns, [_run(one) for one in found])


def show_preview(console: Console, found: Preview) -> None:
    """Print the words, and each firing by the zone's clocks and in UTC."""
    _line(console, printable(found.words))
    if found.fire_times:
        columns = [Column(title=printable(found.timezone)), Column(title="UTC")]
        tables.show(console, columns, [(_as_told(one), _as_told(one.astimezone(UTC))) for one in found.fire_times])


def outcome(one: Run) -> str:
    """What became of a firing, in a line."""
    said = f"{one.outcome}  {one.job}" if one.job else one.outcome
    return printable(f"{said}: {one.reason}" if one.reason else said)


def _run(one: Run) -> tuple[Cell, ...]:
    why = f"up to {at(one.until_at).plain}; {one.reason}" if one.until_at else one.reason or ""
    return (
        at(one.nominal_at),
        Cell(text=printable(one.outcome), style=OUTCOMES.get(one.outcome, "")),
        Cell(text=printable(one.origin)),
        Cell(text="" if one.late_seconds is None else lasting(one.late_seconds)),
        Cell(text=printable(one.job or "")),
        Cell(text=printable(one.job_state or ""), style=STYLES.get(one.job_state or "", "")),
        Cell(text=printable(why)),
    )


def _as_told(when: datetime) -> Cell:
    return Cell(text=when.isoformat())


def _line(console: Console, *parts: str | Text) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)
