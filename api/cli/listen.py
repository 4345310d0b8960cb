"""`millrace listen`: what webhooks would be sent comes to this machine, and to a server on it."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from urllib.parse import urlsplit

import click
import httpx2

from api.cli.progress import printable
from api.cli.run import Run
from api.client import ApiError, Millrace
from api.client.webhook_listening import Interrupted, Listening, Message
from api.client.webhooks import EVENTS

TIMEOUT_SECONDS = 10.0
MOST_READ = 65_536  # bytes of an answer, so that its connection can be used again
USER_AGENT = "Millrace"  # as the platform calls itself when it delivers


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What the server on this machine said: its status, or why there was none."""

    status: int | None
    error: str | None
    milliseconds: int


class Forwarder:
    """Posts messages to one URL, one after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def post(self, message: Message) -> Answered:
        """Post it as the platform would; what goes wrong is told, not raised."""
        status, error, began = None, None, time.monotonic()
        headers = {"User-Agent": USER_AGENT, **message.headers}
        try:
            with self._http.stream("POST", self.url, content=message.body.encode(), headers=headers) as answer:
                status = answer.status_code
                read = 0
                for chunk in answer.iter_raw():
                    read += len(chunk)
                    if read > MOST_READ:
                        break
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            error = "nobody is there"
        except httpx2.TimeoutException:
            error = f"no answer within {TIMEOUT_SECONDS:g} s"
        except httpx2.HTTPError as exc:
            error = str(exc) or type(exc).__name__
        return Answered(status=status, error=error, milliseconds=round((time.monotonic() - began) * 1000))


@click.command()
@click.option("--forward", metavar="URL", help="Post each message there, such as http://localhost:3000/hook.")
@click.option("--event", "events", type=click.Choice(EVENTS), multiple=True, help="May be repeated; default: job.….")
@click.option("--json", "as_json", is_flag=True, help="Print each message, and what was answered, on a line of JSON.")
@click.pass_obj
def listen(run: Run, forward: str | None, events: Sequence[str], as_json: bool) -> None:
    """Show what webhooks would be sent, as it happens, and post it to a server on this machine, until Ctrl-C.

    The platform need not reach this machine. Messages are signed as to a webhook, with the secret that is shown first.

    \b
    Examples:
      millrace listen
      millrace listen --forward http://localhost:3000/hook --event job.succeeded
    """
    if forward is not None and not _is_url(forward):
        raise click.BadParameter(f"{forward!r} is no http or https URL", param_hint="--forward")
    try:
        with run.client() as client, _forwarder(forward) as forwarder:
            _introduce(client, forwarder, events)
            for news in client.webhooks.listen(events or None):
                match news:
                    case Message():
                        answered = None if forwarder is None else forwarder.post(news)
                        _tell(news, answered, as_json=as_json)
                    case Interrupted():
                        click.echo(f"{printable(str(news.error))}; again in {news.seconds:g} s", err=True)
                    case Listening():
                        note = "listening again; what happened in between was missed" if news.missed else "listening"
                        click.echo(note, err=True)
    except KeyboardInterrupt:
        sys.exit(0)


COMMANDS = (listen,)


@contextlib.contextmanager
def _forwarder(url: str | None) -> Iterator[Forwarder | None]:
    if url is None:
        yield None
        return
    with contextlib.closing(Forwarder(url)) as forwarder:
        yield forwarder


def _introduce(client: Millrace, forwarder: Forwarder | None, events: Sequence[str]) -> None:
    click.echo(f"Messages: {', '.join(events or EVENTS[:4])}", err=True)
    if forwarder is not None:
        click.echo(f"Forwarded to: {printable(forwarder.url)}", err=True)
    try:
        secret = client.webhooks.signing_secrets()[0]
    except ApiError as exc:
        if exc.code != "scope_missing":
            raise
        secret = "not shown: your key lacks the scope jobs:write"  # noqa: S105 - a sentence
    click.echo(f"Signed with: {printable(secret)}", err=True)


def _tell(message: Message, answered: Answered | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**message.raw, "answer": None if answered is None else asdict(answered)}))
        return
    line = f"{datetime.now().astimezone():%H:%M:%S}  {printable(message.type):<16}  {printable(message.job or '-')}"
    if answered is not None:
        is_well = answered.status is not None and 200 <= answered.status < 300
        said = printable(answered.error or str(answered.status))
        line += f"  {click.style(said, fg='green' if is_well else 'red')}  {answered.milliseconds} ms"
    click.echo(line)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
