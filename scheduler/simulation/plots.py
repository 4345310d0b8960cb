"""The report's pictures: how the main policies went, and waits against replica-hours."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scheduler.simulation.rivals import AHEAD
from scheduler.simulation.study import DEFAULTS, PATIENT, TUNED, Row, Study

COLOURS = {DEFAULTS: "#8a8a8a", TUNED: "#d1495b", PATIENT: "#edae49", "age": "#66a182", "drain": "#00798c"}
OTHER = "#2e4057"
DOTS = 150  # a inch


def write(study: Study, folder: Path) -> None:
    """course.png and frontier.png."""
    folder.mkdir(parents=True, exist_ok=True)
    _saved(course(study), folder / "course.png")
    _saved(frontier(study), folder / "frontier.png")


def course(study: Study) -> Figure:
    """Arrivals, backlog and replicas over time."""
    figure = Figure(figsize=(12, 8), dpi=DOTS, layout="constrained")
    arrivals, backlog, replicas = figure.subplots(3, 1, sharex=True)
    first = study.rows[0].result.course
    arrivals.fill_between(first.hours, first.arrivals, step="mid", color="#c9d6df", linewidth=0)
    arrivals.set_ylabel("arrivals a second")
    arrivals.set_title(f"{study.trace.name}, target {study.world.target:g} s")
    for row in _distinct(study):
        went, colour = row.result.course, COLOURS.get(row.label, OTHER)
        backlog.plot(went.hours, went.backlog, color=colour, linewidth=0.8, alpha=0.8, label=row.label)
        replicas.plot(went.hours, went.replicas, color=colour, linewidth=0.8, alpha=0.8)
    backlog.set_yscale("symlog", linthresh=1)
    backlog.set_ylabel("runnable jobs, at most")
    replicas.set_ylabel("replicas asked for")
    replicas.set_xlabel("hours")
    backlog.legend(loc="upper right", fontsize="small", ncols=3)
    for axes in (arrivals, backlog, replicas):
        _plain(axes)
        axes.set_ylim(bottom=0)
    return figure


def frontier(study: Study) -> Figure:
    """p95 against replica-hours: everything that was tried, and the bound."""
    figure = Figure(figsize=(9, 6), dpi=DOTS, layout="constrained")
    axes = figure.subplots()
    xs, ys = [r.replica_hours for r in study.swept], [r.p95 for r in study.swept]
    axes.scatter(xs, ys, s=14, color="#b8b8b8", label="depth, all that was tried")
    for row in _distinct(study):
        colour = COLOURS.get(row.label, OTHER)
        axes.scatter([row.result.replica_hours], [row.result.p95], s=60, color=colour, label=row.label, zorder=3)
    axes.axhline(study.world.target, color="#444444", linewidth=0.8, linestyle=":", label="target")
    bound = study.optimum.work if study.optimum.proved is None else study.optimum.proved
    axes.axvline(bound, color="#444444", linewidth=0.8, linestyle="--", label="clairvoyant: at least")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("replica-hours")
    axes.set_ylabel("p95 of the waits, seconds")
    axes.set_title(study.trace.name)
    axes.legend(fontsize="small")
    _plain(axes)
    return figure


def _distinct(study: Study) -> list[Row]:
    """Without a schedule one of ours would hide behind the other."""
    return [row for row in study.rows if row.label != AHEAD or study.trace.scheduled.any()]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#eeeeee")
    axes.set_axisbelow(True)


def _saved(figure: Figure, file: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(file)
    figure.clear()
