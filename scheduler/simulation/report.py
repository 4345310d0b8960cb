"""The report: a table for people, the same as Markdown, and everything as JSON."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from scheduler.simulation.run import Result
from scheduler.simulation.study import DEFAULTS, TUNED, Study

HEAD = ("policy", "p50", "p95", "p99", "longest", "late", "hours", "busy", "actions", "reversals")
AGAINST = ("policy", f"hours to {TUNED}", "its p95 to that", f"hours to {DEFAULTS}", "its p95 to that")
LEGEND = "waits in seconds; late: of the jobs waited longer than the target; hours: of replicas; busy: of their slots"


def tables(study: Study) -> list[Table]:
    """For the terminal: how each went, and how that compares."""
    return [_table(HEAD, _lines(study), title(study)), _table(AGAINST, _against(study), "")]


def markdown(study: Study) -> str:
    """The same for a file."""
    lines = [f"# {title(study)}", ""]
    for head, rows in ((HEAD, _lines(study)), (AGAINST, _against(study))):
        lines += [_cells(head), _cells(["---", *["--:"] * (len(head) - 1)]), *map(_cells, rows), ""]
    return "\n".join([*lines, *(f"- {line}" for line in remarks(study))]) + "\n"


def _table(head: Sequence[str], rows: Iterable[list[str]], title: str) -> Table:
    made = Table(box=None, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for number, name in enumerate(head):
        made.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        made.add_row(*row)
    return made


def title(study: Study) -> str:
    world, trace, bounds = study.world, study.trace, study.bounds
    return (
        f"{trace.name}: {study.rows[0].result.jobs:,} jobs in {trace.seconds / 86_400:.3g} days, "
        f"{world.service:g} s each, {world.slots} slots a replica, {bounds.least} to {bounds.most} replicas, "
        f"target {world.target:g} s"
    )


def remarks(study: Study) -> list[str]:
    """What the table does not say by itself."""
    lines = [f"{row.label}: {row.words}" for row in study.rows if row.words]
    lines += [
        f"{row.label}: {row.result.unfinished} jobs had not started long after the end"
        for row in study.rows
        if row.result.unfinished
    ]
    return [LEGEND, *lines, *study.notes]


def write(study: Study, folder: Path) -> None:
    """table.md and results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(markdown(study), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(document(study), indent=1) + "\n", encoding="utf-8")


def document(study: Study) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "trace": {"name": study.trace.name, "jobs": study.trace.jobs, "seconds": study.trace.seconds},
        "world": asdict(study.world),
        "bounds": asdict(study.bounds),
        "policies": [{"label": row.label, "chosen": row.words} | _numbers(row.result) for row in study.rows],
        "swept": [{"label": result.policy.name} | _numbers(result) for result in study.swept],
        "clairvoyant": asdict(study.optimum),
        "notes": list(study.notes),
    }


def _numbers(result: Result) -> dict[str, Any]:
    names = ("jobs", "unfinished", "p50", "p95", "p99", "longest", "mean_wait", "share_over", "replica_hours")
    found = {name: getattr(result, name) for name in (*names, "utilization", "actions", "reversals", "is_good")}
    return {name: None if value == math.inf else value for name, value in found.items()}


def _lines(study: Study) -> Iterator[list[str]]:
    for row in study.rows:
        r = row.result
        waits = [_seconds(wait) for wait in (r.p50, r.p95, r.p99, r.longest)]
        costs = [f"{r.share_over:.2%}", f"{r.replica_hours:.1f}", f"{r.utilization:.0%}"]
        yield [row.label, *waits, *costs, str(r.actions), str(r.reversals)]
    for name, hours in _bounds(study):
        yield [name, *[""] * 5, f"{hours:.1f}", *[""] * 3]


def _against(study: Study) -> Iterator[list[str]]:
    by_label = {row.label: row.result for row in study.rows}
    others = [by_label[TUNED], by_label[DEFAULTS]]
    for row in study.rows:
        cells = [row.label]
        for other in others:
            cells += [_change(row.result.replica_hours, other.replica_hours), _ratio(row.result.p95, other.p95)]
        yield cells
    for name, hours in _bounds(study):
        tuned, defaults = (_change(hours, other.replica_hours) for other in others)
        yield [name, tuned, "", defaults, ""]


def _bounds(study: Study) -> Iterator[tuple[str, float]]:
    """What no policy beats that lets at most one job in twenty wait longer than the target, and none that lets none."""
    found = study.optimum
    named = {"the work alone": found.work, "clairvoyant": found.proved, "clairvoyant, none late": found.strict}
    return ((name, hours) for name, hours in named.items() if hours is not None)


def _seconds(wait: float) -> str:
    if wait == math.inf:
        return "for ever"
    return f"{wait:.1f}" if wait < 100 else f"{wait:.0f}"


def _change(value: float, other: float) -> str:
    return f"{value / other - 1:+.1%}" if other else ""


def _ratio(value: float, other: float) -> str:
    return f"x {value / other:.2f}" if other and math.isfinite(value / other) else ""


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
