"""`millrace webhooks test`, `deliveries` and `redeliver`: messages, sent and told."""

import json
import sys
import time

import click

from api.cli import webhook_sights
from api.cli.run import Run
from api.client import Delivery, Millrace, Redelivered
from api.client.webhooks import AGAIN, STATES, Again, State

WHICH = click.argument("webhook_id", metavar="WEBHOOK")
WHOSE = click.argument("webhook_id", metavar="WEBHOOK|JOB")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the document.")
EACH_JSON = click.option("--json", "as_json", is_flag=True, help="Print each document on a line of its own.")
LOOK_AGAIN_SECONDS = 0.25


@click.command()
@WHICH
@click.option("--wait", type=click.FloatRange(0), default=30.0, show_default=True, help="So many seconds at most.")
@JSON
@click.pass_obj
def test(run: Run, webhook_id: str, wait: float, as_json: bool) -> None:
    """Send a webhook a message of type webhook.test, and say what it answers.

    Exit status 0 when it took the message; 1 when not, or when nothing is known yet after --wait.

    \b
    Example:
      millrace webhooks test whe_01k3x2v9r8e6t9c8m1n4p7q2sd
    """
    with run.client() as client:
        sent = _tried(client, webhook_id, client.webhooks.test(webhook_id), wait)
    if as_json:
        click.echo(json.dumps(sent.raw))
    elif sent.log:
        click.echo(f"{sent.id}  {webhook_sights.tried(sent.log[-1])}")
    else:
        run.fail(f"{sent.id} has not been tried within {wait:g} s; is a scheduler running?")
    sys.exit(0 if sent.state == "delivered" else 1)


@click.command()
@WHOSE
@click.option("--state", type=click.Choice(STATES), help="Only deliveries in this state.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@EACH_JSON
@click.pass_obj
def deliveries(run: Run, webhook_id: str, state: State | None, limit: int, as_json: bool) -> None:
    """List what is and was delivered to a webhook, or of a job, newest first.

    \b
    Example:
      millrace webhooks deliveries whe_01k3x2v9r8e6t9c8m1n4p7q2sd --state failed
    """
    with run.client() as client:
        listed = list(client.webhooks.deliveries(webhook_id, state, limit))
    if as_json:
        for one in listed:
            click.echo(json.dumps(one.raw))
    elif listed:
        webhook_sights.show_deliveries(run.out, listed)
    else:
        click.echo(f"There are no {'' if state is None else f'{state} '}deliveries.", err=True)


@click.command()
@WHOSE
@click.argument("delivery_id", metavar="DELIVERY")
@click.pass_obj
def delivery(run: Run, webhook_id: str, delivery_id: str) -> None:
    """Print the document of one delivery, with what is sent as its "payload".

    What goes to the "notify" of a job is found by the id of that job.

    \b
    Example:
      millrace webhooks delivery job_01k3x2v9r8e6t9c8m1n4p7q2sd dlv_01k3x2vbq1f4ftq2s0d8w7e5xz | jq .payload
    """
    with run.client() as client:
        click.echo(json.dumps(client.webhooks.delivery(webhook_id, delivery_id).raw))


@click.command()
@WHOSE
@click.argument("delivery_id", metavar="[DELIVERY]", required=False)
@click.option("--since", metavar="TIME", help="All that happened since then, such as 2026-07-01T00:00:00Z.")
@click.option("--state", type=click.Choice(AGAIN), help="With --since: only these; default: failed and canceled.")
@click.pass_obj
def redeliver(run: Run, webhook_id: str, delivery_id: str | None, since: str | None, state: Again | None) -> None:
    """Send messages again: one DELIVERY, or all that failed --since a time.

    They go out under the same webhook-id as before, so a receiver knows those that it has.

    \b
    Example:
      millrace webhooks redeliver whe_01k3x2v9r8e6t9c8m1n4p7q2sd --since 2026-07-01T00:00:00Z
    """
    if bool(delivery_id) == bool(since):
        raise click.UsageError("Give a DELIVERY, or --since.")
    if since and webhook_id.startswith("job_"):
        raise click.UsageError("--since goes with a WEBHOOK.")
    if state and not since:
        raise click.UsageError("--state goes with --since.")
    with run.client() as client:
        if delivery_id:
            click.echo(f"{client.webhooks.redeliver(webhook_id, delivery_id).id}  is sent again")
            return
        done = _since(client, webhook_id, since or "", state)
    count = done.redelivering
    click.echo(f"{count} {'delivery is' if count == 1 else 'deliveries are'} sent again")
    if done.more:
        click.echo("There are more: ask for the rest with a later --since.", err=True)


COMMANDS = (test, deliveries, delivery, redeliver)


def _tried(client: Millrace, webhook_id: str, sent: Delivery, seconds: float) -> Delivery:
    """The delivery as soon as it has been tried, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not sent.log and sent.state == "pending" and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
        sent = client.webhooks.delivery(webhook_id, sent.id)
    return sent


def _since(client: Millrace, webhook_id: str, since: str, state: Again | None) -> Redelivered:
    """Have them sent again, as many as the platform takes at a time.

    What was delivered and is sent again may be delivered again before the next call: that would never end.
    """
    done = client.webhooks.redeliver_since(webhook_id, since, state)
    while done.more and done.redelivering and state not in {"delivered", "any"}:
        following = client.webhooks.redeliver_since(webhook_id, since, state)
        done = Redelivered(redelivering=done.redelivering + following.redelivering, more=following.more)
    return done
