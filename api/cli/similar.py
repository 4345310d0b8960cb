"""`millrace similar`: pictures that look like another, or are the same again."""

import json
from collections.abc import Sequence

import click
from rich.console import Console

from api.cli import tables
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column
from api.client.similar import Similar


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--duplicates", is_flag=True, help="Only pictures that are the same, or nearly: compares their hashes.")
@click.option("--step", metavar="NAME", help="Which of JOB's analyses (default: the first that fits).")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most so many.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Only pictures that are at least so much alike.")
@click.option(
    "--max-distance", type=click.IntRange(0, 64), help="With --duplicates: bits that may differ (default: 6)."
)
@click.option("--json", "as_json", is_flag=True, help="Print each picture's document on a line of its own.")
@click.pass_obj
def similar(
    run: Run,
    job_id: str,
    duplicates: bool,
    step: str | None,
    limit: int,
    min_score: float | None,
    max_distance: int | None,
    as_json: bool,
) -> None:
    """Find your pictures that look like that of JOB, most similar first.

    JOB, and what is found, had a step of kind image.analyze with the feature `embedding` (with --duplicates: `phash`).

    \b
    Examples:
      millrace similar job_01k3x2v9r8e6t9c8m1n4p7q2sd --min-score 0.7
      millrace similar --duplicates job_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    if duplicates and min_score is not None:
        raise click.UsageError("--min-score is about embeddings; with --duplicates give --max-distance.")
    if not duplicates and max_distance is not None:
        raise click.UsageError("--max-distance is about hashes; give it with --duplicates.")
    with run.client() as client:
        if duplicates:
            found = client.duplicates(job_id, step=step, limit=limit, max_distance=max_distance)
        else:
            found = client.similar(job_id, step=step, limit=limit, min_score=min_score)
    if as_json:
        for one in found:
            click.echo(json.dumps(one.raw))
    elif found:
        show(run.out, found)
    else:
        click.echo("There is none.", err=True)


COMMANDS = (similar,)


def show(console: Console, found: Sequence[Similar]) -> None:
    """Print one line per picture."""
    by_hash = any(one.distance is not None for one in found)
    columns = [
        Column(title="photo", cut=True, most=24),
        Column(title="job"),
        Column(title="step"),
        Column(title="score", right=True),
        *([Column(title="bits", right=True)] if by_hash else []),
    ]
    tables.show(console, columns, [_cells(one, by_hash) for one in found])


def _cells(one: Similar, by_hash: bool) -> list[Cell]:
    photo = Cell(text=printable(one.filename or ""))
    cells = [photo, Cell(text=printable(one.job)), Cell(text=printable(one.step)), Cell(text=f"{one.score:.3f}")]
    return [*cells, Cell(text=str(one.distance))] if by_hash else cells
