"""What webhooks and their deliveries look like on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from api.cli import tables
from api.cli.overview import at
from api.cli.progress import printable
from api.cli.tables import Cell, Column, lasting
from api.client import Delivery, DeliveryTry, Webhook

STATES = {"delivered": "green", "failed": "red", "canceled": "yellow"}


def show_all(console: Console, found: Sequence[Webhook]) -> None:
    """Print one line per webhook."""
    columns = [
        Column(title="webhook"),
        Column(title="state"),
        Column(title="delivered"),
        Column(title="url", cut=True, most=60),
        Column(title="description", cut=True, most=24),
        Column(title="events", wrap=True),
    ]
    rows = [
        (
            Cell(text=printable(one.id)),
            Cell(text=_state(one), style=_style(one)),
            at(one.delivered_at) if one.delivered_at else Cell(text=""),
            Cell(text=printable(one.url)),
            Cell(text=printable(one.description)),
            Cell(text=printable(" ".join(one.events))),
        )
        for one in found
    ]
    tables.show(console, columns, rows)


def show(console: Console, one: Webhook) -> None:
    """Print what there is to know of a webhook; its secret only if it has just been made."""
    _line(console, f"{printable(one.id)}  ", Text(_state(one), style=_style(one)))
    _line(console, printable(one.url))
    if one.description:
        _line(console, printable(one.description))
    _line(console, f"  events: {printable(', '.join(one.events))}")
    if one.disabled_at:
        _line(console, f"  disabled since {at(one.disabled_at).text}: {printable(one.disabled_reason or '')}")
    if one.failing_since:
        _line(console, f"  failing since {at(one.failing_since).text}")
    _line(console, f"  last delivered: {at(one.delivered_at).text if one.delivered_at else 'never'}")
    if one.public_key:
        _line(console, f"  public key: {printable(one.public_key)}")
    if one.secret:
        _line(console, f"  secret: {printable(one.secret)}")


def show_deliveries(console: Console, found: Sequence[Delivery]) -> None:
    """Print one line per delivery."""
    columns = [
        Column(title="delivery"),
        Column(title="type"),
        Column(title="state"),
        Column(title="happened"),
        Column(title="tries", right=True),
        Column(title="next"),
        Column(title="job"),
        Column(title="last answer", wrap=True),
    ]
    rows = [
        (
            Cell(text=printable(one.id)),
            Cell(text=printable(one.type)),
            Cell(text=printable(one.state), style=STATES.get(one.state, "")),
            at(one.happened_at),
            Cell(text=str(one.tries)),
            at(one.next_at) if one.next_at else Cell(text=""),
            Cell(text=printable(one.job or "")),
            Cell(text=tried(one.log[-1]) if one.log else ""),
        )
        for one in found
    ]
    tables.show(console, columns, rows)


def tried(one: DeliveryTry) -> str:
    """What came of one try, in a line."""
    said = "it was taken" if one.status is None else f"it answered {one.status}"
    return f"{printable(one.error or said)} after {lasting(one.seconds)}"


def _state(one: Webhook) -> str:
    if not one.enabled:
        return "disabled"
    return "failing" if one.failing_since else "enabled"


def _style(one: Webhook) -> str:
    if not one.enabled:
        return "yellow"
    return "red" if one.failing_since else ""


def _line(console: Console, *parts: str | Text) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)
