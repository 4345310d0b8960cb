"""The report: a table for people, the same as Markdown, and everything as JSON."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from scheduler.simulation.run import Result
from scheduler.simulation.study import DEFAULTS, TUNED, Row, Study

HEAD = (
    *("policy", "wait p50", "p95", "p99", "longest", "over target", "replica-hours", "busy", "actions", "reversals"),
    *(f"hours to {TUNED}", "p95 to it", f"hours to {DEFAULTS}", "p95 to it"),
)


def table(study: Study) -> Table:
    """For the terminal."""
    made = Table(*HEAD[:1], box=SIMPLE, title=title(study), caption_justify="left", title_justify="left")
    for name in HEAD[1:]:
        made.add_column(name, justify="right")
    for row in _lines(study):
        made.add_row(*row)
    return made


def markdown(study: Study) -> str:
    """The same for a file."""
    lines = [f"# {title(study)}", "", _cells(HEAD), _cells(["---", *["--:"] * (len(HEAD) - 1)])]
    lines += [_cells(row) for row in _lines(study)]
    lines += ["", *(f"- {line}" for line in remarks(study))]
    return "\n".join(lines) + "\n"


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
    return [*lines, *study.notes]


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


def _lines(study: Study) -> Iterable[list[str]]:
    by_label = {row.label: row.result for row in study.rows}
    for row in study.rows:
        yield _line(row, by_label[TUNED], by_label[DEFAULTS])
    found = study.optimum
    bounds = {"clairvoyant: at least": found.proved, "clairvoyant, nobody late: at least": found.strict}
    for name, hours in ({"work alone": found.work} | bounds).items():
        if hours is not None:
            to_tuned, to_defaults = (_change(hours, by_label[name].replica_hours) for name in (TUNED, DEFAULTS))
            yield [name, *[""] * 5, f"{hours:.2f}", "", "", "", to_tuned, "", to_defaults, ""]


def _line(row: Row, tuned: Result, defaults: Result) -> list[str]:
    r = row.result
    waits = [_seconds(wait) for wait in (r.p50, r.p95, r.p99, r.longest)]
    cells = [row.label, *waits, f"{r.share_over:.2%}", f"{r.replica_hours:.2f}", f"{r.utilization:.0%}"]
    cells += [str(r.actions), str(r.reversals)]
    for other in (tuned, defaults):
        cells += [_change(r.replica_hours, other.replica_hours), _ratio(r.p95, other.p95)]
    return cells


def _seconds(wait: float) -> str:
    if wait == math.inf:
        return "for ever"
    return f"{wait:.1f} s" if wait < 100 else f"{wait:.0f} s"


def _change(value: float, other: float) -> str:
    return f"{value / other - 1:+.1%}" if other else ""


def _ratio(value: float, other: float) -> str:
    return f"x {value / other:.2f}" if other and math.isfinite(value / other) else ""


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
