"""What one job, or many, look like on the terminal."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from api.cli import results, sights, tables
from api.cli.follow import Saved
from api.cli.progress import STYLES, printable
from api.cli.tables import Cell, Column
from api.client import Failure, Job, Step

HELD = ("scheduled", "queued")  # the states of a step that has been put off


def show_jobs(console: Console, jobs: Sequence[Job]) -> None:
    """Print one line per job."""
    columns = [
        Column(title="job"),
        Column(title="state"),
        Column(title="done", right=True),
        Column(title="created"),
        Column(title="file", cut=True, most=40),
    ]
    rows = [
        (Cell(text=job.id), _state(job.state), _percent(job.progress), at(job.created_at), _file(job)) for job in jobs
    ]
    tables.show(console, columns, rows)


def show_job(console: Console, job: Job) -> None:
    """Print what there is to know of a job: its state, its steps, what they made and what went wrong."""
    _line(console, f"{job.id}  ", Text(job.state, style=STYLES.get(job.state, "")), f"  {job.progress:.0%}")
    if job.input:
        _line(console, printable(f"{job.input.filename}  {decimal(job.input.bytes)}  {job.input.content_type}"))
    _line(console, f"created {at(job.created_at).text}", _ran(job.timings.ran_seconds, ", ran "), _end(job))
    console.print()
    columns = [
        Column(title="step"),
        Column(title="kind"),
        Column(title="state"),
        Column(title="done", right=True),
        Column(title="attempts", right=True),
        Column(title="ran", right=True),
    ]
    tables.show(console, columns, [_step(step) for step in job.steps.values()])
    for step in job.steps.values():
        _show_attempts(console, step)
    if job.outputs:
        console.print()
        label = printable(job.input.filename) if job.input else job.id
        results.show(console, [(label, Saved(output=output)) for output in job.outputs])
    if seen := sights.rows_of(printable(job.input.filename) if job.input else job.id, job):
        console.print()
        sights.show(console, seen)


def _step(step: Step) -> tuple[Cell, ...]:
    return (
        Cell(text=printable(step.name)),
        Cell(text=printable(step.kind)),
        _state(step.state),
        _percent(step.progress),
        Cell(text=str(len(step.attempts))),
        Cell(text=_ran(step.timings.ran_seconds, "")),
    )


def _show_attempts(console: Console, step: Step) -> None:
    """Why a step may not start, what went wrong with it, and how its attempts ended if not at once and well."""
    if step.held_for and step.state in HELD:
        console.print()
        _line(console, f"{step.name}: ", f"put off until {at(step.run_at).text}: {printable(step.held_for)}")
    if step.error:
        console.print()
        _line(console, f"{step.name}: ", _words(step.error))
    if len(step.attempts) > 1 or any(attempt.outcome != "succeeded" for attempt in step.attempts):
        if not step.error:
            console.print()
        for attempt in step.attempts:
            why = f": {_words(attempt.error)}" if attempt.error else ""
            _line(console, f"{step.name}: attempt {attempt.number} {printable(attempt.outcome)}{why}")


def _words(error: Failure) -> str:
    return printable(f"{error.message} ({error.code})")


def _end(job: Job) -> str:
    """How and by when it is to end, while it has not."""
    if job.ended:
        return ""
    if job.stopping:
        return f", stopping: will be {printable(job.stopping)}"
    return f", deadline {at(job.deadline_at).text}" if job.deadline_at else ""


def _state(state: str) -> Cell:
    return Cell(text=printable(state), style=STYLES.get(state, ""))


def _percent(progress: float) -> Cell:
    return Cell(text=f"{progress:.0%}")


def at(when: datetime) -> Cell:
    """A time: in this place's own for people, whole elsewhere."""
    return Cell(text=f"{when.astimezone():%Y-%m-%d %H:%M:%S}", plain=when.isoformat(timespec="seconds"))


def _file(job: Job) -> Cell:
    return Cell(text=printable(job.input.filename) if job.input else "")


def _ran(seconds: float | None, before: str) -> str:
    return "" if seconds is None else f"{before}{seconds:.2f} s"


def _line(console: Console, *parts: str | Text) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)
