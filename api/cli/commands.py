"""The command `millrace`: submits photographs, watches jobs, lists them; the others are added to it. HTTP only."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click

from api.cli import (
    audit,
    batches,
    decisions,
    doctor,
    image_keys,
    jobs,
    listen,
    logs,
    operating,
    pools,
    queues,
    results,
    schedules,
    secrets,
    sights,
    similar,
    specs,
    templates,
    top,
    uploads,
    webhooks,
)
from api.cli.follow import Done, Entry, Save, follow
from api.cli.photos import Address, document_for, file_of, photo
from api.cli.progress import display, printable, reason
from api.cli.results import Folder
from api.cli.run import Run
from api.client import Job, Millrace
from api.client.sending import OnSent

DEFAULT_TEMPLATE = "thumbnails"
DIR = click.Path(file_okay=False, path_type=Path)
INTERRUPTED = 130  # as shells say of a program that Ctrl-C ended


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help="Where the API is; default: MILLRACE_URL, or a platform that runs here.")
@click.option("--key", metavar="KEY", help="The API key, mk_…; default: MILLRACE_API_KEY, or that platform's own.")
@click.option("--tenant", metavar="NAME", help="For operators: see and do what concerns this tenant, not your own.")
@click.pass_context
def cli(context: click.Context, url: str | None, key: str | None, tenant: str | None) -> None:
    """Send work to Millrace and see how it goes.

    Without --url the platform is found that `make up` keeps running in this folder or in one above.

    \b
    Example:
      millrace submit photo.jpg --watch
    """
    context.obj = Run(url=url, key=key, tenant=tenant)


@cli.command()
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=photo)
@click.option("--template", metavar="NAME", help=f"What is to be done with each photo (default: {DEFAULT_TEMPLATE}).")
@click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True, help="What is changed of the template; may be repeated."
)
@click.option("--job", "spec", metavar="FILE", type=click.File("rb"), help="The job's document, JSON; - reads it here.")
@click.option("--watch/--no-watch", default=None, help="Stay until the jobs have ended, and show how they go on.")
@click.option("--output", metavar="DIR", type=DIR, help="Bring all outputs here; implies --watch.")
@click.option("--json", "as_json", is_flag=True, help="Print each job's document on a line of its own.")
@click.pass_obj
def submit(
    run: Run,
    photos: Sequence[Path | Address],
    template: str | None,
    settings: Sequence[str],
    spec: BinaryIO | None,
    watch: bool | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Submit one job for each PHOTO, a file or a URL to fetch it from, or a single one without.

    Exit status 0 when every job was accepted, and with --watch has succeeded; 1 when not; 2 for a wrong command line.

    \b
    Examples:
      millrace submit a.jpg b.png --watch --output thumbnails/
      millrace submit a.jpg --template describe --watch
      millrace submit a.jpg --template responsive --set quality=70 --set widths=400,800
      millrace submit https://example.com/a.jpg --watch
      millrace submit a.jpg --job spec.json
      echo '{"steps": {"hello": {"kind": "echo"}}}' | millrace submit --job - --watch
    """
    if template and spec:
        raise click.UsageError("--template and --job both say what to do; give one of them.")
    if settings and spec:
        raise click.UsageError("--set changes a template; with --job the document says it, as its 'with'.")
    if not photos and not template and not spec:
        raise click.UsageError("Nothing to submit: give a PHOTO, or --job for work that needs no file.")
    if output and watch is False:
        raise click.UsageError("--output needs the jobs to end; leave out --no-watch.")
    document = specs.document(spec) if spec else {"template": template or DEFAULT_TEMPLATE}
    named = photos or [specs.name_of(spec)]
    given: Sequence[Path | Address | None] = photos or [None]
    if "input" in document and any(isinstance(one, Address) for one in photos):
        raise click.UsageError("The job's document says itself where its input is; leave out the URL.")
    local = [one for one in photos if isinstance(one, Path)]
    with run.client() as client:
        document = templates.changed(client, document, settings)
        sends = [partial(_send, client, document_for(one, document), file_of(one)) for one in given]
        entries = [Entry(label=path.name, begin=send) for path, send in zip(named, sends, strict=True)]
        save = _folder(client, output, [results.stem_of(Path(path.name)) for path in named], local) if output else None
        done = _follow(run, client, entries, save, to_the_end=bool(watch or output))
    if as_json:
        _print_documents(done)
    elif watch or output:
        _print_outputs(run, entries, done, output)
    else:
        _print_accepted(run, entries, done)
    sys.exit(_conclude(run, entries, done))


@cli.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--json", "as_json", is_flag=True, help="Print each job's document on a line of its own.")
@click.pass_obj
def watch(run: Run, jobs: Sequence[str], as_json: bool) -> None:
    """Show how jobs go on, until they have ended.

    Exit status 0 when every job has succeeded, 1 when not.

    \b
    Example:
      millrace watch job_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        found = [client.job(job_id) for job_id in dict.fromkeys(jobs)]
        entries = [
            Entry(label=job.input.filename if job.input else job.id, begin=partial(_as_is, job)) for job in found
        ]
        done = _follow(run, client, entries, None, to_the_end=True)
    if as_json:
        _print_documents(done)
    else:
        _print_outputs(run, entries, done, None)
    sys.exit(_conclude(run, entries, done))


_KEPT = (schedules, secrets, uploads, image_keys, templates, webhooks)
for nouns in (jobs, audit, batches, decisions, doctor, *_KEPT, listen, logs, operating, queues, pools, top, similar):
    for command in nouns.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """The entry point: what a terminal cannot show is replaced, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli(prog_name="millrace")


def _follow(
    run: Run, client: Millrace, entries: Sequence[Entry], save: Save | None, *, to_the_end: bool
) -> Sequence[Done]:
    """Follow the entries on the screen; the end of each, in their order. Ctrl-C leaves the jobs to the platform."""
    accepted: dict[int, str] = {}
    done: dict[int, Done] = {}

    def begin(number: int, on_sent: OnSent) -> Job:
        job = entries[number].begin(on_sent)
        accepted[number] = job.id  # at once, so that no Ctrl-C comes between
        return job

    noted = [replace(entry, begin=partial(begin, number)) for number, entry in enumerate(entries)]
    try:
        with display(run.err, entries, transient=not to_the_end) as screen:
            for news in follow(client, noted, save=save, to_the_end=to_the_end):
                if isinstance(news, Done):
                    done[news.entry] = news
                if to_the_end or run.err.is_terminal:
                    screen.tell(news)
    except KeyboardInterrupt:
        _print_left(accepted, done, len(entries))
        sys.exit(INTERRUPTED)
    return [done[entry] for entry in sorted(done)]


def _send(client: Millrace, document: Mapping[str, Any], file: Path | None, on_sent: OnSent) -> Job:
    return client.submit(document, file=file, on_sent=on_sent)


def _as_is(found: Job, _: OnSent) -> Job:
    return found


def _folder(client: Millrace, output: Path, stems: Sequence[str], photos: Sequence[Path]) -> Save:
    try:
        return Folder(client, output, stems, photos).save
    except OSError as exc:
        raise click.BadParameter(f"{output} cannot be made: {exc.strerror}", param_hint="--output") from exc


def _print_documents(done: Sequence[Done]) -> None:
    for end in done:
        if end.job:
            click.echo(json.dumps(end.job.raw))


def _print_outputs(run: Run, entries: Sequence[Entry], done: Sequence[Done], output: Path | None) -> None:
    rows = [(printable(entries[end.entry].label), saved) for end in done for saved in end.saved]
    if rows:
        if run.out.is_terminal:
            click.echo()
        results.show(run.out, rows)
    if rows and output:
        click.echo(f"{len(rows)} files in {output}", err=True)
    seen = [row for end in done if end.job for row in sights.rows_of(printable(entries[end.entry].label), end.job)]
    if seen:
        if run.out.is_terminal or rows:
            click.echo()
        sights.show(run.out, seen)


def _print_accepted(run: Run, entries: Sequence[Entry], done: Sequence[Done]) -> None:
    accepted = [(end.job.id, printable(entries[end.entry].label)) for end in done if end.job]
    for job_id, label in accepted:
        click.echo(f"{job_id}  {label}")
    if accepted and run.err.is_terminal:
        click.echo(f"\nSee how it goes:\n  millrace watch {' '.join(job_id for job_id, _ in accepted)}", err=True)


def _print_left(accepted: Mapping[int, str], done: Mapping[int, Done], entries: int) -> None:
    going = [job_id for entry, job_id in accepted.items() if entry not in done]
    if going:
        click.echo(f"\nThe work goes on without you. To look again:\n  millrace watch {' '.join(going)}", err=True)
    if unsent := entries - len(accepted.keys() | done.keys()):
        click.echo(f"{unsent} of {entries} had not been accepted.", err=True)


def _conclude(run: Run, entries: Sequence[Entry], done: Sequence[Done]) -> int:
    """Say why what failed did, once for each reason; return the exit status."""
    labels: dict[str, list[str]] = {}
    for end in done:
        if why := reason(end):
            labels.setdefault(why, []).append(entries[end.entry].label)
    for why, concerned in labels.items():
        run.fail(why if len(entries) == 1 else f"{', '.join(concerned)}: {why}")
    return 1 if labels else 0
