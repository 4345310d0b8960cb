"""`millrace jobs` and `job`: what there is, and what came of it."""

import json

import click

from api.cli import overview
from api.cli.run import Run

STATES = ("scheduled", "queued", "running", "succeeded", "failed", "canceled", "expired")


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print each job's document on a line of its own.")
@click.pass_obj
def jobs(run: Run, state: str | None, limit: int, as_json: bool) -> None:
    """List your jobs, newest first.

    \b
    Example:
      millrace jobs --state failed --limit 5
    """
    with run.client() as client:
        found = client.jobs(state, limit)
        if as_json:
            for one in found:
                click.echo(json.dumps(one.raw))
            return
        listed = list(found)
    if listed:
        overview.show_jobs(run.out, listed)
    else:
        click.echo(f"There are no jobs{f' in the state {state}' if state else ''}.", err=True)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the job's document.")
@click.pass_obj
def job(run: Run, job_id: str, as_json: bool) -> None:
    """Show one job: its steps, what they made, and what went wrong.

    \b
    Example:
      millrace job job_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        found = client.job(job_id)
    if as_json:
        click.echo(json.dumps(found.raw))
    else:
        overview.show_job(run.out, found)


COMMANDS = (jobs, job)
