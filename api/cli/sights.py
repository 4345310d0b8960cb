"""What analyses saw in pictures, in words for the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from api.cli import tables
from api.cli.progress import printable
from api.cli.tables import Cell, Column
from api.client import Job

MOST = 3  # names that are told of one feature
FIRST = ("labels", "objects", "faces", "moderation", "text", "codes", "colors")  # in this order, then the others


def show(console: Console, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print one line per feature: label, feature, what it says."""
    columns = [Column(title="photo", cut=True, most=24), Column(title="feature"), Column(title="seen", wrap=True)]
    labels = [label for label, _, _ in rows]
    tables.show(
        console,
        columns,
        [
            (Cell(text="" if label == before else label, plain=label), Cell(text=feature), Cell(text=seen))
            for before, (label, feature, seen) in zip([None, *labels], rows, strict=False)
        ],
    )


def rows_of(label: str, job: Job) -> list[tuple[str, str, str]]:
    """The lines for all analyses of a job."""
    return [
        (label, printable(feature), printable(said))
        for step in job.steps.values()
        if step.kind == "image.analyze" and isinstance(step.result, Mapping)
        for feature, said in _said(step.result)
    ]


def _said(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    answered = result.get("models", {})
    for feature in (*(one for one in FIRST if one in answered), *sorted(answered.keys() - set(FIRST))):
        yield feature, _words(feature, result.get(feature))
    for feature, why in result.get("errors", {}).items():
        yield feature, f"failed: {why['message']}"


def _words(feature: str, value: Any) -> str:
    match feature, value:
        case "faces", list():
            return {0: "none", 1: "1 face"}.get(len(value), f"{len(value)} faces")
        case "colors", list():
            return ", ".join(f"{one['name']} {one['score']:.0%}" for one in value)
        case "text" | "codes", list():
            return " / ".join(str(one["text"]) for one in value) or "none"
        case "embedding", list():
            return f"{len(value)} numbers; millrace similar finds pictures like it"
        case _, list():
            return ", ".join(f"{one['name']} {one['score']:.2f}" for one in value[:MOST]) or "none"
        case "quality", dict():
            flaws = [name for name in ("blurred", "underexposed", "overexposed") if value[name]]
            return ", ".join([f"sharpness {value['sharpness']:.2f}", f"exposure {value['exposure']:.2f}", *flaws])
        case _, dict():
            return ", ".join(f"{name} {score:.2f}" for name, score in value.items())
        case _:
            return str(value)
