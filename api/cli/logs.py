"""`millrace logs`: what all processes logged about a job."""

import contextlib
import json

import click
from rich.text import Text

from api.cli.progress import printable
from api.cli.run import Run
from api.client import LogLine

LEVELS = {"info": "", "warning": "yellow", "error": "red", "critical": "bold red"}


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--follow", "-f", is_flag=True, help="Stay until the job has ended, and print what comes.")
@click.option("--level", type=click.Choice(list(LEVELS)), default="info", help="Only lines at least as grave.")
@click.option("--json", "as_json", is_flag=True, help="Print each line's document on a line of its own.")
@click.pass_obj
def logs(run: Run, job_id: str, follow: bool, level: str, as_json: bool) -> None:
    """Print what the API, the scheduler and the workers logged about JOB, oldest first.

    A line is there within a second; a job keeps a thousand.

    \b
    Examples:
      millrace logs job_01k3x2v9r8e6t9c8m1n4p7q2sd
      millrace logs job_01k3x2v9r8e6t9c8m1n4p7q2sd --follow --level warning
    """
    told = 0
    with run.client() as client, contextlib.suppress(KeyboardInterrupt):
        for line in client.logs(job_id, level=level, follow=follow):
            told += 1
            if as_json:
                click.echo(json.dumps(line.raw))
            else:
                run.out.print(_shown(line), soft_wrap=True)
    if not told:
        click.echo("Nothing was logged about it.", err=True)


COMMANDS = (logs,)


def _shown(line: LogLine) -> Text:
    step = "" if line.step is None else f"{line.step} " if line.attempt is None else f"{line.step}#{line.attempt} "
    text = Text(f"{line.at.astimezone():%H:%M:%S.%f}"[:-3], style="dim")
    text.append(f" {line.level:<8} ", style=LEVELS.get(line.level, ""))
    text.append(printable(step), style="cyan").append(printable(line.message))
    text.append(f"  {printable(line.process)}" if line.process else "", style="dim")
    if line.error is not None:
        text.append("\n" + "\n".join(map(printable, str(line.error["stack"]).rstrip().splitlines())))
    return text
