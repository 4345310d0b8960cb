"""A function of a worker that is a kind and its schedule in one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage import schedules
from storage.database import Database
from storage.model import Json
from storage.tenants import ensure
from tasks.applying import apply, of_kinds
from tasks.names import Kind, Params, Queue, Retry
from tasks.scheduled import scheduled
from tasks.work import Work

ROOT = Path(__file__).parents[2]


class Where(Params):
    """Where to send it."""

    to: str
    copies: int = 1


@scheduled(
    "report.nightly",
    cron="0 3 * * *",
    timezone="Europe/Berlin",
    tenant="acme",
    params=Where,
    with_params={"to": "{{schedule.local_date}}"},
    queue=Queue.CALLS,
    overlap="allow",
    priority="low",
    retry=Retry(max_attempts=7),
)
def nightly(_work: Work, params: Where) -> str:
    """Sends the report.

    Every night.
    """
    return f"{params.to} {params.copies}"


@scheduled("report.pulse", every=60)
def pulse(_work: Work, _params: Params) -> None:
    return None


def test_the_function_stays_as_it_is() -> None:
    returned: str = nightly(None, Where(to="x"))  # type: ignore[arg-type] # it does not use its work
    assert returned == "x 1"
    assert (nightly.__name__, nightly.__module__) == ("nightly", __name__)  # type: ignore[attr-defined] # a function


def test_its_kind_says_how_it_runs() -> None:
    kind: Kind = nightly.kind
    assert (kind.name, kind.summary, kind.run) == ("report.nightly", "Sends the report.", f"{__name__}:nightly")
    assert (kind.params, kind.queue, kind.retry.max_attempts) == (Where, Queue.CALLS, 7)
    assert pulse.kind.summary == "Runs by its schedule: report.pulse."


def test_its_schedule_is_applied_with_its_parameters(database: Database) -> None:
    kinds = {one.kind.name: one.kind for one in (nightly, pulse)}
    done = apply(database, "kinds", of_kinds(kinds), kinds=kinds)
    assert sorted(done.created) == [("acme", "report.nightly"), ("platform", "report.pulse")]
    with database.platform() as tx:
        made = schedules.find_by_name(tx.of(ensure(tx, "acme")), "report.nightly")
    assert made is not None
    assert (made.document["cron"], made.document["overlap"]) == ("0 3 * * *", "allow")
    step = {"kind": "report.nightly", "to": "{{schedule.local_date}}"}
    assert made.document["job"] == {"priority": "low", "steps": {"run": step}}
    assert apply(database, "kinds", of_kinds(kinds), kinds=kinds).untouched


def good(_work: Work, _params: Params) -> Json:
    return None


def one_argument(_work: Work) -> Json:
    return None


async def coroutine(_work: Work, _params: Params) -> Json:
    return None


class Sender:
    def method(self, _work: Work, _params: Params) -> Json:
        return None


def nested() -> Any:
    def inside(_work: Work, _params: Params) -> Json:
        return None

    return inside


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda _work, _params: None, "cannot be a lambda"),
        (nested(), "nor stand in a function or class"),
        (Sender.method, "nor stand in a function or class"),
        (Sender(), "stands before a plain function"),
        (one_argument, "is called with"),
        (coroutine, "must return its result"),
        (nightly, "has a kind already"),
    ],
)
def test_what_a_worker_could_not_call_is_refused(function: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        scheduled("x", every=60)(function)


def test_a_function_of_a_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(good, "__module__", "__main__")
    with pytest.raises(TypeError, match="not into a script"):
        scheduled("x", every=60)(good)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cron": "0 25 * * *"}, "cron: hour 25 is outside 0-23"),
        ({"every": 0}, "every: .*greater than or equal to 1"),
        ({"at": "tomorrow"}, "at: a time is written"),
        ({}, "give exactly one of cron, every, at"),
        ({"cron": "0 3 * * *", "every": 5}, "give exactly one of cron, every, at"),
        ({"every": 5, "timezone": "Europe/Berln"}, "timezone: .*did you mean 'Europe/Berlin'"),
        ({"every": 5, "overlap": "never"}, "overlap: "),
        ({"every": 5, "params": Where}, "with_params does not fit Where: to: "),
        ({"every": 5, "params": Where, "with_params": {"to": "x", "cc": "y"}}, "with_params does not fit Where: cc: "),
    ],
)
def test_a_mistake_is_told_where_the_module_is_imported(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        scheduled("x", **fields)
    assert str(refused.value).startswith("@scheduled('x'): ")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"there is no field 'overlaps'; there are .*overlap, "):
        scheduled("x", every=60, overlaps="allow")


def takes_where(_work: Work, params: Where) -> str:
    return params.to


def test_type_checkers_see_whether_the_parameters_fit() -> None:
    """mypy tells if one of these comments, or of these annotations, is wrong."""
    made = scheduled("x", every=60, params=Where, with_params={"to": "x"})(takes_where)
    kept: str = made.kind.summary + made(None, Where(to="x"))  # type: ignore[arg-type] # it does not use its work
    assert kept
    with pytest.raises(TypeError, match="has a kind already"):
        scheduled("x", every=60)(takes_where)  # type: ignore[arg-type] # its parameters are not none


def test_the_package_that_the_docs_show_is_found_by_its_entry_point(tmp_path: Path) -> None:
    example = (ROOT / "docs" / "schedules-as-code.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "reports.py").write_text(example)
    info = tmp_path / "acme_reports-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reports\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[millrace.kinds]\nnightly = reports:nightly.kind\n")
    look = (
        "import json; from tasks.names import KINDS; from tasks.base import function_of; from tasks.applying import *;"
        "kind = KINDS['reports.nightly'];"
        "print(json.dumps([one.name for one in of_kinds()] + [function_of(kind).__name__, kind.queue]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["reports.nightly", "nightly", "default"]
