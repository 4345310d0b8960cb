"""`millrace cancel`, `retry` and `delete`: what a job's owner decides about its end."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import click

from api.cli import specs
from api.cli.progress import printable
from api.cli.run import Run
from api.client import ConnectionFailed, Job, Millrace, MillraceError

JOBS = click.argument("jobs", nargs=-1, required=True, metavar="JOB...")


@click.command()
@JOBS
@click.pass_obj
def cancel(run: Run, jobs: Sequence[str]) -> None:
    """Cancel jobs: nothing of them starts any more.

    Running steps are asked to stop and, after a grace time, made to; until then the job is said to be stopping. The
    outputs are removed. Exit status 0 when every job is canceled or stopping, 1 when not.

    \b
    Example:
      millrace cancel job_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    sys.exit(_each(run, jobs, lambda client, job_id: _state(client.cancel(job_id))))


@click.command()
@JOBS
@click.option("--all", "whole", is_flag=True, help="Run every step again, not only those that did not succeed.")
@click.option("--params", metavar="FILE", type=click.File("rb"), help="New parameters, JSON; - reads it here.")
@click.pass_obj
def retry(run: Run, jobs: Sequence[str], whole: bool, params: BinaryIO | None) -> None:
    """Run ended jobs again: what did not succeed, or all.

    FILE has an object of steps, each a JSON merge patch on the parameters that the step has. A canceled job always runs
    whole. Exit status 0 when every job is queued again, 1 when not.

    \b
    Examples:
      millrace retry job_01k3x2v9r8e6t9c8m1n4p7q2sd
      echo '{"crm": {"url": "https://crm.example/new"}}' | millrace retry job_01k3x2v9r8e6t9c8m1n4p7q2sd --params -
    """
    patches = _patches(params) if params else {}

    def again(client: Millrace, job_id: str) -> str:
        return _state(client.retry(job_id, only="all" if whole else "failed", steps=patches))

    status = _each(run, jobs, again)
    if status == 0 and run.err.is_terminal:
        click.echo(f"\nSee how it goes:\n  millrace watch {' '.join(jobs)}", err=True)
    sys.exit(status)


@click.command()
@JOBS
@click.pass_obj
def delete(run: Run, jobs: Sequence[str]) -> None:
    """Delete ended jobs, with events and files.

    This cannot be taken back. Exit status 0 when every job is gone, 1 when not.

    \b
    Example:
      millrace delete job_01k3x2v9r8e6t9c8m1n4p7q2sd
    """

    def gone(client: Millrace, job_id: str) -> str:
        client.delete(job_id)
        return "deleted"

    sys.exit(_each(run, jobs, gone))


COMMANDS = (cancel, retry, delete)


def _each(run: Run, jobs: Sequence[str], act: Callable[[Millrace, str], str]) -> int:
    """Do it to one job after the other, say what became of each; then why it was refused, once for each reason."""
    refused: dict[str, list[str]] = {}
    named = list(dict.fromkeys(jobs))
    with run.client() as client:
        for job_id in named:
            try:
                click.echo(f"{job_id}  {printable(act(client, job_id))}")
            except ConnectionFailed:
                raise  # the others would not get through either
            except MillraceError as exc:
                refused.setdefault(str(exc), []).append(job_id)
    for why, concerned in refused.items():
        run.fail(why if len(named) == 1 else f"{', '.join(concerned)}: {why}")
    return 1 if refused else 0


def _state(job: Job) -> str:
    return f"{job.state}, stopping" if job.stopping else job.state


def _patches(params: BinaryIO) -> Mapping[str, Mapping[str, Any]]:
    example = '{"thumbs": {"quality": 60}}'
    patches = specs.document(params, "--params", example)
    if wrong := [name for name, patch in patches.items() if not isinstance(patch, dict)]:
        raise click.BadParameter(f"{wrong[0]!r} must be an object, as in {example}", param_hint="--params")
    return patches
