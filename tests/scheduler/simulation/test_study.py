"""The comparison, its tuning and its report."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from scheduler import pools
from scheduler.simulation import plots, report
from scheduler.simulation.command import simulate
from scheduler.simulation.pilot import Policy
from scheduler.simulation.rivals import AHEAD, DRAIN, Bounds, Setting
from scheduler.simulation.run import Result
from scheduler.simulation.study import DEFAULTS, PATIENT, TUNED, Study, bounds_of, compare, runner
from scheduler.simulation.sweep import Sweep, targets, tuned
from scheduler.simulation.world import World
from scheduler.triggers import Depth
from tests.scheduler.simulation.worlds import trace_of

WORLD = World()
TRACE = trace_of(*[5, 0, 0, 40, 600, 300, 0, 2] * 2)


@pytest.fixture(scope="module")
def study() -> Study:
    with runner(TRACE, WORLD, lambda _: None, workers=1) as runs:
        return compare(TRACE, WORLD, None, Bounds(least=0, most=10), runs, lambda _: None)


def test_the_tuned_rivals_are_the_cheapest_good_ones_of_all_that_were_tried(study: Study) -> None:
    rows = {row.label: row.result for row in study.rows}
    assert rows[PATIENT].is_good
    assert rows[PATIENT].replica_hours == min(result.replica_hours for result in study.swept if result.is_good)
    assert rows[PATIENT].replica_hours <= rows[TUNED].replica_hours
    assert rows[DEFAULTS] in study.swept


def test_without_a_schedule_nothing_is_ahead_and_the_report_says_so(study: Study) -> None:
    rows = {row.label: row.result for row in study.rows}
    assert rows[AHEAD] is rows[DRAIN]
    assert any("nothing is known in advance" in remark for remark in report.remarks(study))


def test_the_report_has_a_table_numbers_and_plots(study: Study, tmp_path: Path) -> None:
    report.write(study, tmp_path)
    plots.write(study, tmp_path)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(f"| {row.label} |" in table for row in study.rows)
    assert "- depth, tuned: target" in table
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [one["label"] for one in found["policies"]] == [row.label for row in study.rows]
    assert len(found["swept"]) == len(study.swept)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("course.png", "frontier.png"))


def test_tuning_prefers_good_ones_and_then_cheap_ones(study: Study) -> None:
    base = study.rows[0].result

    def runs(policies: Sequence[Policy]) -> Sequence[Result]:
        return [_made(base, policy) for policy in policies]

    sweep = Sweep(runs, Bounds(least=0, most=10))
    best = tuned(sweep, WORLD)
    assert best == Setting(target=27)  # between two of the grid
    assert best.target not in targets(WORLD)


def _made(base: Result, policy: Policy) -> Result:
    """Good up to a target of 30, and cheaper the higher it is; never good with an activation value."""
    rule = policy.rules[0]
    assert isinstance(rule, Depth)
    good = rule.value <= 30 and rule.activation == 0
    return replace(base, policy=policy, share_over=0.0 if good else 0.5, replica_hours=100 - rule.value)


def test_a_peak_above_the_maximum_is_told_and_carried() -> None:
    busy = trace_of(6000, 0)
    bounds, line = bounds_of(busy, World(service=2.0, slots=2), None, None, None)
    assert bounds == Bounds(least=0, most=30)
    assert line == "the peak needs 20.0 replicas, more than the pool's maximum of 10: simulated with 30"
    assert bounds_of(busy, WORLD, None, 1, 4) == (Bounds(least=1, most=4), "")
    assert bounds_of(TRACE, WORLD, None, None, None) == (Bounds(least=0, most=10), "")


def called(*arguments: str) -> Outcome:
    return CliRunner().invoke(simulate, list(arguments))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "monday.csv"
    made.write_text("timestamp,value\n1767225600,50\n1767225660,0\n1767225720,20\n", encoding="utf-8")
    return made


def test_the_command_prints_the_table_and_writes_the_report(file: Path, tmp_path: Path) -> None:
    outcome = called(str(file), "--service", "1", "--report", str(tmp_path / "out"))
    assert outcome.exit_code == 0, outcome.output
    assert "keda defaults" in outcome.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"table.md", "results.json", "course.png", "frontier.png"}


def test_help_has_an_example() -> None:
    assert "python -m scheduler simulate monday.csv --pool images" in called("--help").output


def test_what_is_wrong_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "load", lambda: {"images": None, "calls": None})
    assert "there is no pool 'image'; did you mean 'images'?" in called(str(file), "--pool", "image").output
    assert "--from: 'noon' is no timestamp" in called(str(file), "--from", "noon").output
    assert "rows are in the time asked for" in called(str(file), "--days", "0").output
    assert "must be above 0" in called(str(file), "--service", "0").output
    assert "the jitter is a part" in called(str(file), "--startup-jitter", "2").output
    assert "none.csv cannot be read" in called(str(file.with_name("none.csv"))).output


def test_a_missing_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(importlib, "import_module", missing)
    outcome = called(str(file))
    assert outcome.exit_code == 1
    assert "numba is not installed: make .venv/.installed-dev" in outcome.output
