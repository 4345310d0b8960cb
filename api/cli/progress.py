"""Shows how jobs go on: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from api.cli.follow import Accepted, Done, Entry, Happened, News, Sent
from api.client import Event, Job
from api.client.answers import ENDED

BAR = 28  # columns at most
WORDS = 24  # columns that are kept free for what stands behind a bar
STEPS_SHOWN = 8
OVER = ENDED | {"refused", "lost"}
"""The states from which a row does not go on: those of the job, not accepted, accepted but lost sight of."""

STYLES = {"succeeded": "green", "retrying": "yellow", **dict.fromkeys(OVER - {"succeeded"}, "red")}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step as it is shown; `note` is the last thing it told."""

    state: str
    progress: float = 0.0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An entry as it is shown; times in seconds of the monotonic clock."""

    label: str
    state: str = "waiting"
    progress: float = 0.0
    note: str = ""
    job_id: str = ""
    began: float = 0.0
    took: float | None = None
    steps: Mapping[str, StepRow] = field(default_factory=dict)


class Display(Protocol):
    """What shows news; a context manager, on the screen while its block runs."""

    def __enter__(self) -> "Display": ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def tell(self, news: News) -> None:
        """Show what is new."""


def display(console: Console, entries: Sequence[Entry], *, transient: bool = False) -> Display:
    """Bars if the console is a terminal that can move its cursor, lines if not; transient bars go when they end."""
    labels = [printable(entry.label) for entry in entries]
    if console.is_terminal and not console.is_dumb_terminal:
        return Bars(console, labels, transient=transient)
    return Lines(console, labels)


def printable(text: str) -> str:
    """The text without what could steer a terminal: names of files and the words of servers are anybody's."""
    return "".join(character if character.isprintable() else "?" for character in text)


def applied(row: Row, news: News) -> Row:
    """The row after the news."""
    now = time.monotonic()
    if isinstance(news, Sent):
        share = news.sent / news.size if news.size else 0.0
        note = decimal(news.sent) + (f" of {decimal(news.size)}" if news.size else "")
        return replace(row, state="sending", progress=share, note=note, began=row.began or now)
    if isinstance(news, Accepted):
        steps = {name: StepRow(state=step.state, progress=step.progress) for name, step in news.job.steps.items()}
        return replace(
            row, job_id=news.job.id, state=news.job.state, progress=0.0, note="", steps=steps, began=row.began or now
        )
    if isinstance(news, Happened):
        return _after_event(row, news.event)
    if news.job is None or news.error is not None:
        return replace(row, state="refused" if news.job is None else "lost", note="")
    return replace(row, state=news.job.state, note="", took=_took(news.job), progress=news.job.progress)


def reason(done: Done) -> str | None:
    """Why an entry did not come to its end well, in words for people; None if it did."""
    if done.error is not None:
        return "\n".join(map(printable, str(done.error).splitlines()))
    if done.job is None or not done.job.ended or done.job.succeeded:
        return None
    return printable(done.job.error.message) if done.job.error else f"the job is {done.job.state}"


class Lines:
    """A line for each step and job that changes its state."""

    def __init__(self, console: Console, labels: Sequence[str]) -> None:
        self._console = console
        self._rows = [Row(label=label) for label in labels]

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left on the screen that would have to go."""

    def tell(self, news: News) -> None:
        before = self._rows[news.entry]
        row = self._rows[news.entry] = applied(before, news)
        if isinstance(news, Accepted):
            self._say(f"{row.label}: {row.job_id} {row.state}")
        elif isinstance(news, Happened):
            for name, step in row.steps.items():
                old = before.steps.get(name)
                if old is None or old.state != step.state:
                    self._say(f"{row.label}: {name} {step.state}{f': {step.note}' if step.note else ''}")
        elif isinstance(news, Done):
            took = "" if row.took is None else f" after {row.took:.2f} s"
            self._say(f"{row.label}: {row.state}{took}{f': {row.note}' if row.note else ''}")

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class Bars:
    """Bars that move, one per job and one per step; what does not fit on the screen and has ended moves up above it."""

    def __init__(self, console: Console, labels: Sequence[str], *, transient: bool = False) -> None:
        self._console = console
        self._rows = [Row(label=label) for label in labels]
        self._above: set[int] = set()
        self._spinner = Spinner("dots", style="cyan")
        self._width = min(32, max((len(label) for label in labels), default=0))
        self._live = Live(console=console, refresh_per_second=12, get_renderable=self._render, transient=transient)

    def __enter__(self) -> "Bars":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tell(self, news: News) -> None:
        row = self._rows[news.entry] = applied(self._rows[news.entry], news)
        if isinstance(news, Done):
            self._width = max(self._width, min(32, len(row.label)))
            self._make_room()

    def _make_room(self) -> None:
        """Let ended jobs go up, oldest first, while all would not fit."""
        shown = [entry for entry in range(len(self._rows)) if entry not in self._above]
        lines = sum(1 + min(STEPS_SHOWN, len(self._rows[entry].steps)) for entry in shown)
        for entry in shown:
            row = self._rows[entry]
            if lines <= self._console.height - 4:
                return
            if row.state in OVER:
                lines -= 1 + min(STEPS_SHOWN, len(row.steps))
                self._above.add(entry)
                self._live.console.print(self._table([replace(row, steps={})]))

    def _render(self) -> RenderableType:
        shown = [row for entry, row in enumerate(self._rows) if entry not in self._above]
        begun = [row for row in shown if row.state != "waiting"]
        waiting = len(shown) - len(begun)
        table = self._table(begun)
        return Group(table, Text(f"{waiting} more to send", style="dim")) if waiting else table

    def _table(self, rows: Sequence[Row]) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(width=self._width + 2, no_wrap=True, overflow="ellipsis")
        table.add_column(width=max(6, min(BAR, self._console.width - self._width - WORDS - 16)))
        table.add_column(justify="right", width=4)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for row in rows:
            bar, percent = _bar(row.state, row.progress), _percent(row.progress)
            table.add_row(self._mark(row.state), Text(row.label), bar, percent, _words(row))
            shown = list(row.steps.items())[:STEPS_SHOWN]
            for name, step in shown:
                words = Text(step.state if not step.note else f"{step.state}: {step.note}", style="dim")
                bar, percent = _bar(step.state, step.progress), _percent(step.progress)
                table.add_row("", Text(f"  {name}", style="dim"), bar, percent, words)
            if len(row.steps) > len(shown):
                table.add_row("", Text(f"  and {len(row.steps) - len(shown)} more steps", style="dim"))
        return table

    def _mark(self, state: str) -> RenderableType:
        if state == "succeeded":
            return Text("✓", style="green")
        return Text("✗", style="red") if state in OVER else self._spinner


def _after_event(row: Row, event: Event) -> Row:
    what, _, state = event.type.partition(".")
    if what == "job":
        return replace(row, state=state, steps={**row.steps, **_again(row, event)})
    name = str(event.data.get("step", ""))
    if what != "step" or name not in row.steps:
        return row
    step = row.steps[name]
    if state == "progress":
        step = replace(step, progress=float(event.data.get("progress", 0.0)), note=_note(event.data))
    else:
        progress = 1.0 if state == "succeeded" else 0.0 if state == "running" else step.progress
        step = StepRow(
            state=state, progress=progress, note=_trouble(event.data) if state in {"retrying", "queued"} else ""
        )
    steps = {**row.steps, name: step}
    return replace(row, steps=steps, progress=sum(one.progress for one in steps.values()) / len(steps))


def _again(row: Row, event: Event) -> dict[str, StepRow]:
    """The steps that are to run again, as they stand before that."""
    names = event.data.get("again", [])
    return {name: StepRow(state="waiting") for name in names if name in row.steps} if isinstance(names, list) else {}


def _note(data: Mapping[str, object]) -> str:
    return printable(", ".join(str(value) for key, value in data.items() if key not in {"step", "progress"}))


def _trouble(data: Mapping[str, object]) -> str:
    error = data.get("error")
    return printable(str(error.get("message", ""))) if isinstance(error, Mapping) else ""


def _took(job: Job) -> float | None:
    return (job.finished_at - job.created_at).total_seconds() if job.finished_at else None


def _bar(state: str, progress: float) -> ProgressBar:
    style = STYLES.get(state, "cyan")
    return ProgressBar(total=1.0, completed=progress, complete_style=style, finished_style=style, style="bright_black")


def _percent(progress: float) -> Text:
    return Text(f"{progress:.0%}")


def _words(row: Row) -> Text:
    text = Text(row.state, style=STYLES.get(row.state, ""))
    if row.took is not None:
        text.append(f" in {row.took:.2f} s", style="dim")
    if row.note:
        text.append(f"  {row.note}", style="")
    return text
