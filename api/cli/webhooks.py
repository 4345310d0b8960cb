"""`millrace webhooks`: who is told of what happens, made, watched, changed and tried."""

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import click

from api.cli import webhook_deliveries, webhook_sights
from api.cli.run import Run
from api.cli.webhook_deliveries import EACH_JSON, JSON, WHICH
from api.client import Webhook
from api.client.webhooks import EVENTS

EVENT = click.option("--event", "events", type=click.Choice(EVENTS), multiple=True, help="May be repeated.")
DESCRIPTION = click.option("--description", metavar="TEXT", help="Yours.")
MOST_SECRET = 200  # bytes that are read of a file that should hold one


@click.group(invoke_without_command=True)
@click.pass_context
def webhooks(context: click.Context) -> None:
    """Webhooks: your servers are told when jobs end. Without a command: list them.

    \b
    Example:
      millrace webhooks create https://shop.example/hooks/millrace --event job.succeeded --event job.failed
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@webhooks.command("list")
@EACH_JSON
@click.pass_obj
def list_all(run: Run, as_json: bool) -> None:
    """List your webhooks, newest first.

    \b
    Example:
      millrace webhooks list
    """
    with run.client() as client:
        listed = client.webhooks.list()
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        webhook_sights.show_all(run.out, listed)
    else:
        click.echo("There are no webhooks.", err=True)


@webhooks.command()
@WHICH
@JSON
@click.pass_obj
def show(run: Run, webhook_id: str, as_json: bool) -> None:
    """Show one webhook: where it leads, what it is told, how it stands.

    \b
    Example:
      millrace webhooks show whe_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        _tell(run, client.webhooks.get(webhook_id), as_json)


@webhooks.command()
@click.argument("url", metavar="URL")
@EVENT
@DESCRIPTION
@click.option("--ed25519", is_flag=True, help="Sign with a key pair as well, whose public half anybody may have.")
@click.option("--disabled", is_flag=True, help="Send nothing to it yet.")
@click.option("--secret-file", metavar="FILE", type=click.File("rb"), help="Your own secret, whsec_…; - reads it here.")
@JSON
@click.pass_obj
def create(
    run: Run,
    url: str,
    events: Sequence[str],
    description: str | None,
    ed25519: bool,
    disabled: bool,
    secret_file: BinaryIO | None,
    as_json: bool,
) -> None:
    """Have events posted to URL, by default how jobs end.

    Prints the secret that signs the messages: keep it, it is not shown again.

    \b
    Example:
      millrace webhooks create https://shop.example/hooks/millrace --event job.succeeded --event job.failed
    """
    secret = None if secret_file is None else secret_file.read(MOST_SECRET).decode(errors="replace").strip()
    with run.client() as client:
        made = client.webhooks.create(
            url,
            events or None,
            description=description or "",
            ed25519=ed25519,
            enabled=not disabled,
            secret=secret,
        )
    _tell(run, made, as_json)
    if not as_json and run.err.is_terminal:
        click.echo("\nKeep the secret: it is not shown again.", err=True)


@webhooks.command()
@WHICH
@click.option("--url", metavar="URL", help="Where it leads.")
@EVENT
@DESCRIPTION
@click.option("--enable/--disable", "enabled", default=None, help="Whether anything is sent to it.")
@JSON
@click.pass_obj
def update(run: Run, /, webhook_id: str, events: Sequence[str], as_json: bool, **given: Any) -> None:
    """Change a webhook: what is not given stays as it is; all its events go when --event is given.

    --enable lets one go on that was disabled because it failed for days.

    \b
    Example:
      millrace webhooks update whe_01k3x2v9r8e6t9c8m1n4p7q2sd --enable
    """
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {"events": list(events)} if events else {}
    if not changes:
        raise click.UsageError("Nothing to change: give --url, --event, --description, --enable or --disable.")
    with run.client() as client:
        _tell(run, client.webhooks.update(webhook_id, changes), as_json)


@webhooks.command()
@WHICH
@click.pass_obj
def delete(run: Run, webhook_id: str) -> None:
    """Delete a webhook with all that was, or is to be, delivered to it.

    \b
    Example:
      millrace webhooks delete whe_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        client.webhooks.delete(webhook_id)
    click.echo(f"{webhook_id}  deleted")


@webhooks.command()
@WHICH
@click.option("--at-once", is_flag=True, help="Drop the secret before at once: it was seen by somebody.")
@JSON
@click.pass_obj
def rotate(run: Run, webhook_id: str, at_once: bool, as_json: bool) -> None:
    """Have another secret; for a day the one before signs as well.

    \b
    Example:
      millrace webhooks rotate whe_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        rotated = client.webhooks.rotate(webhook_id, expire_old_after=0 if at_once else None)
    if as_json:
        click.echo(json.dumps(rotated.raw))
        return
    click.echo(rotated.secret)
    if rotated.old_until:
        click.echo(f"The one before signs as well until {rotated.old_until.isoformat(timespec='seconds')}.", err=True)


for command in webhook_deliveries.COMMANDS:
    webhooks.add_command(command)

COMMANDS = (webhooks,)


def _tell(run: Run, one: Webhook, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(one.raw))
    else:
        webhook_sights.show(run.out, one)
