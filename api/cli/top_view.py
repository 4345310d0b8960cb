"""What `millrace top` shows: sections with a title, columns and rows, from what the API last said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.cli import tables
from api.cli.progress import printable
from api.cli.tables import Cell, Column, lasting
from api.client import DeadLetters, Overview, Pool, Queue, Running, Worker

STATES = {"ok": "green", "degraded": "yellow", "stuck": "bold red"}
SEVERITIES = {"warning": "yellow", "critical": "red"}
LEAST_ROWS = 3  # of a section, however low the screen is
FAMOUS_DEAD = 5  # groups of dead letters


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What was last seen of the platform; what is not there could not be had, and `missing` says why, by its name."""

    at: datetime
    url: str
    overview: Overview | None = None
    queues: Sequence[Queue] = ()
    pools: Sequence[Pool] = ()
    workers: Sequence[Worker] = ()
    dead: Sequence[DeadLetters] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A table with a title. `may_shrink`: where the screen is too low its last rows are left out."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    may_shrink: bool = False


def screen(sight: Sight, console: Console) -> RenderableType:
    """All of it, as high as the console's screen at most."""
    parts: list[RenderableType] = [headline(sight)]
    for section, shown in _fitting(sections(sight), console, console.height - 1 - len(sight.missing)):
        left = len(section.rows) - shown
        title = section.title + (f", {left} more" if left else "")
        parts += [Text(), Text(title, style="bold"), _table(section, shown)]
    parts += [Text(words, style="yellow") for words in _missing(sight)]
    return Group(*parts)


def show(console: Console, sight: Sight) -> None:
    """Print all of it once."""
    console.print(headline(sight), soft_wrap=True)
    for section in sections(sight):
        console.print()
        console.print(Text(section.title, style="bold"))
        tables.show(console, section.columns, section.rows)
    for words in _missing(sight):
        console.print(Text(words), soft_wrap=True)


def headline(sight: Sight) -> Text:
    """Where, when, and how it stands in a word."""
    text = Text(f"{sight.at.astimezone():%H:%M:%S}  {printable(sight.url)}", no_wrap=True, overflow="ellipsis")
    found = sight.overview
    if found is not None:
        text.append("  ").append(found.state, style=STATES.get(found.state, ""))
        told = {
            "runnable": found.runnable,
            "running": found.running,
            "workers": found.workers,
            "failed in the last hour": found.failed_last_hour,
        }
        text.append("".join(f"  {number} {name}" for name, number in told.items() if number is not None), style="dim")
    return text


def sections(sight: Sight) -> list[Section]:
    """What there is to show; a section without rows is left out."""
    every = (_causes(sight.overview), _queues(sight.queues), _pools(sight.pools), _workers(sight), _dead(sight.dead))
    return [section for section in every if section.rows]


def _table(section: Section, rows: int) -> Table:
    return tables.laid_out(section.columns, section.rows[:rows], gap=2)


def _fitting(found: Sequence[Section], console: Console, height: int) -> list[tuple[Section, int]]:
    """The sections with as many rows of each as fit; those that may shrink do, the last ones first."""
    shown = [len(section.rows) for section in found]
    # Besides an empty line and the title, what a table takes: a row may go on below.
    over = sum(2 + len(console.render_lines(_table(section, len(section.rows)))) for section in found) - height
    for place in reversed(range(len(found))):
        if over > 0 and found[place].may_shrink:
            least = min(shown[place], LEAST_ROWS)
            fewer = max(least, shown[place] - over)
            over -= shown[place] - fewer
            shown[place] = fewer
    return list(zip(found, shown, strict=True))


def _missing(sight: Sight) -> list[str]:
    return [f"{name}: {printable(reason)}" for name, reason in sight.missing.items()]


def _causes(overview: Overview | None) -> Section:
    columns = [Column(title="what"), Column(title="since", right=True), Column(title="why", wrap=True)]
    rows = [
        (
            Cell(text=printable(cause.subject), style=SEVERITIES.get(cause.severity, "")),
            Cell(text=_age(cause.since)),
            Cell(text=f"{printable(cause.sentence)} {printable(cause.hint)}"),
        )
        for cause in (overview.causes if overview else ())
    ]
    return Section(title="stuck", columns=columns, rows=rows)


def _queues(queues: Sequence[Queue]) -> Section:
    numbers = ("runnable", "running", "later", "oldest", "in/s", "out/s", "p95", "workers", "slots")
    columns = [Column(title="queue"), *(Column(title=title, right=True) for title in numbers), Column(title="state")]
    return Section(title="queues", columns=columns, rows=[_queue(queue) for queue in queues])


def _queue(queue: Queue) -> tuple[Cell, ...]:
    load = queue.load
    service = load.service_seconds if load else None
    told = ("", "", "", "", "", "", "")
    if load is not None:
        told = (
            str(load.runnable),
            str(load.running),
            str(load.scheduled + load.retrying),
            _lasting(load.oldest_runnable_seconds),
            f"{load.arrivals_per_second.one_minute:.1f}",
            f"{load.completions_per_second.one_minute:.1f}",
            _lasting(service.p95 if service else None),
        )
    paused = f"paused {_age(queue.paused_at)}" if queue.paused else ""
    return (
        Cell(text=printable(queue.name)),
        *(Cell(text=text) for text in told),
        Cell(text=_whole(queue.workers), style="red" if load and load.runnable and not queue.workers else ""),
        Cell(text=_whole(queue.slots)),
        Cell(text=paused, style="yellow"),
    )


def _pools(pools: Sequence[Pool]) -> Section:
    columns = [
        *(Column(title="pool"), Column(title="replicas", right=True), Column(title="wanted", right=True)),
        *(Column(title="of", right=True), Column(title="decided", right=True), Column(title="why", cut=True)),
    ]
    rows = [
        (
            Cell(text=printable(pool.name)),
            Cell(text=str(pool.replicas)),
            Cell(text=str(pool.wanted), style="" if pool.wanted < pool.max_replicas else "yellow"),
            Cell(text=f"{pool.min_replicas}-{pool.max_replicas}"),
            Cell(text=lasting(pool.age_seconds, below=0), style="red" if pool.stale else ""),
            Cell(text=printable(pool.trouble or pool.reason), style="red" if pool.trouble else ""),
        )
        for pool in pools
    ]
    return Section(title="pools", columns=columns, rows=rows)


def _workers(sight: Sight) -> Section:
    columns = [
        *(Column(title="worker", cut=True), Column(title="busy", right=True), Column(title="longest", right=True)),
        *(
            Column(title="kind"),
            Column(title="done", right=True),
            Column(title="job"),
            Column(title="tenant", cut=True),
        ),
    ]
    # Who has worked longest on one step comes first: that is where something hangs.
    found = sorted(sight.workers, key=lambda worker: -max((one.seconds for one in worker.running), default=0.0))
    return Section(title="workers", columns=columns, rows=[_worker(worker) for worker in found], may_shrink=True)


def _worker(worker: Worker) -> tuple[Cell, ...]:
    busy = f"{len(worker.running)}/{worker.slots}"
    longest = max(worker.running, key=lambda one: one.seconds, default=None)
    return (
        Cell(text=printable(worker.replica), style="dim" if worker.stopping else ""),
        Cell(text=f"{busy} stops" if worker.stopping else busy),
        *(Cell(text=text) for text in _longest(longest)),
    )


def _longest(step: Running | None) -> tuple[str, ...]:
    if step is None:
        return "", "", "", "", ""
    words = (step.kind, f"{step.progress:.0%}", step.job, step.tenant)
    return lasting(step.seconds, below=0), *map(printable, words)


def _dead(dead: Sequence[DeadLetters]) -> Section:
    columns = [
        *(Column(title="kind"), Column(title="code"), Column(title="steps", right=True)),
        *(Column(title="newest", right=True), Column(title="for example", cut=True)),
    ]
    rows = [
        (
            Cell(text=printable(group.kind)),
            Cell(text=printable(group.code)),
            Cell(text=str(group.count)),
            Cell(text=_age(group.newest)),
            Cell(text=printable(group.message)),
        )
        for group in dead[:FAMOUS_DEAD]
    ]
    return Section(title="your dead letters", columns=columns, rows=rows, may_shrink=True)


def _age(since: datetime | None) -> str:
    return "" if since is None else lasting(max(0.0, (datetime.now(UTC) - since).total_seconds()), below=0)


def _lasting(seconds: float | None) -> str:
    return "" if seconds is None else lasting(seconds)


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)
