"""`millrace pools`: how many workers there are, how many the scaler wants, and why."""

import json
from collections.abc import Sequence

import click
from rich.console import Console

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.run import Run
from api.cli.tables import Cell, Column, lasting
from api.client import Decision, Pool


@click.command()
@click.argument("name", metavar="[POOL]", required=False)
@click.option("--limit", type=click.IntRange(1), help="At most so many decisions of POOL (default: 20).")
@click.option("--json", "as_json", is_flag=True, help="Print each document on a line of its own.")
@click.pass_obj
def pools(run: Run, name: str | None, limit: int | None, as_json: bool) -> None:
    """List all pools of workers: replicas there are, replicas the scaler wants, and why.

    With POOL: the decisions about it that changed something, newest first. A decision is stale when it is older than a
    minute: then no scaler runs, or it does not reach the database. The key needs the scope `operate:read`.

    \b
    Examples:
      millrace pools
      millrace pools images --limit 5
    """
    if name is None and limit is not None:
        raise click.UsageError("--limit is for the decisions of one POOL; give its name.")
    if name is None:
        _show_pools(run, as_json)
    else:
        _show_decisions(run, name, limit or 20, as_json)


COMMANDS = (pools,)


def show(console: Console, found: Sequence[Pool]) -> None:
    """Print one line per pool, or as many as its sentence takes."""
    columns = [
        Column(title="pool"),
        Column(title="replicas", right=True),
        Column(title="wanted", right=True),
        Column(title="min-max", right=True),
        Column(title="when"),
        Column(title="why", wrap=True),
    ]
    tables.show(console, columns, [_pool(pool) for pool in found])


def _show_pools(run: Run, as_json: bool) -> None:
    with run.client() as client:
        found = client.pools()
    if as_json:
        for pool in found:
            click.echo(json.dumps(pool.raw))
    elif found:
        show(run.out, found)
    else:
        click.echo("No scaler has decided anything yet.", err=True)


def _show_decisions(run: Run, name: str, limit: int, as_json: bool) -> None:
    with run.client() as client:
        found = list(client.decisions(name, limit))
    if as_json:
        for decision in found:
            click.echo(json.dumps(decision.raw))
    elif found:
        tables.show(run.out, [Column(title="when"), Column(title="what", wrap=True)], [_decision(it) for it in found])
    else:
        click.echo("Its replicas have not been changed yet.", err=True)


def _pool(pool: Pool) -> tuple[Cell, ...]:
    ago = f"{lasting(pool.age_seconds, below=0)} ago"
    return (
        Cell(text=printable(pool.name)),
        Cell(text=str(pool.replicas)),
        Cell(text=str(pool.wanted)),
        Cell(text=f"{pool.min_replicas}-{pool.max_replicas}"),
        Cell(text=f"stale: {ago}", style="red") if pool.stale else Cell(text=ago),
        Cell(text=f"{_why(pool)}; {printable(pool.trouble)}", style="red") if pool.trouble else Cell(text=_why(pool)),
    )


def _decision(decision: Decision) -> tuple[Cell, ...]:
    return at(decision.at), Cell(text=_why(decision))


def _why(decided: Pool | Decision) -> str:
    """The sentence, which begins with the change itself."""
    return printable(decided.reason) + (" (dry run)" if decided.dry_run else "")
