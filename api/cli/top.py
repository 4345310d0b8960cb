"""`millrace top`: the platform's numbers, live in a terminal."""

import contextlib
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import click
from rich.live import Live

from api.cli import top_view
from api.cli.run import Run
from api.cli.top_view import FAMOUS_DEAD, Sight
from api.client import ApiError, Millrace, MillraceError

QUIT = frozenset("qQ\x03\x04")
KEY_SECONDS = 0.1  # how soon a key is noticed while the API is asked


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often it looks again.",
)
@click.option("--once", is_flag=True, help="Print it once and end, as where there is no terminal.")
@click.pass_obj
def top(run: Run, interval: float, once: bool) -> None:
    """Show what goes on, live: what is stuck and why, queues, pools, workers, dead letters.

    Queues as `millrace queues` shows them, workers with the step that they have worked on longest. The key needs the
    scope `operate:read`; without it there are the names of the queues, and your own dead letters. q or Ctrl-C ends it.

    \b
    Examples:
      millrace top
      millrace top --once
    """
    with run.client() as client:
        first = look(client, None)
        if once or not run.out.is_terminal or run.out.is_dumb_terminal:
            top_view.show(run.out, first)
            return
        with contextlib.suppress(KeyboardInterrupt):
            _keep_looking(run, client, first, interval)


COMMANDS = (top,)


def look(client: Millrace, before: Sight | None) -> Sight:
    """What the API says now; what it does not say is as it was `before`, and why is told.

    Raises what the client raises if there is nothing before, and the queues cannot be had.
    """
    asks: dict[str, Callable[[], Any]] = {
        "overview": client.overview,
        "queues": client.queues,
        "pools": client.pools,
        "workers": client.workers,
        "dead": lambda: client.dead_letters(limit=FAMOUS_DEAD),
    }
    said: dict[str, Any] = {}
    # At once, and in threads that nobody waits for at the end: what does not answer keeps only its own part waiting.
    threads = [threading.Thread(target=_ask, args=(said, *one), daemon=True) for one in asks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = {name: told for name, told in said.items() if isinstance(told, MillraceError)}
    if before is None and "queues" in failed:
        raise failed["queues"]
    missing = {name: str(exc).splitlines()[0] for name, exc in failed.items() if not _is_not_for_us(exc)}
    old = before or Sight(at=datetime.now(UTC), url=client.url)
    return replace(
        old, at=datetime.now(UTC), missing=missing, **{name: said[name] for name in asks.keys() - failed.keys()}
    )


def _ask(said: dict[str, Any], name: str, ask: Callable[[], Any]) -> None:
    try:
        said[name] = ask()
    except MillraceError as exc:
        said[name] = exc


def _is_not_for_us(exc: MillraceError) -> bool:
    """Whether the key may not see it, or the server is older than this command."""
    return isinstance(exc, ApiError) and exc.status in {403, 404}


def _keep_looking(run: Run, client: Millrace, sight: Sight, interval: float) -> None:
    with _keys() as pressed, Live(console=run.out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(top_view.screen(sight, run.out), refresh=True)
            if pressed(interval):
                return
            seen: SimpleQueue[Sight] = SimpleQueue()
            threading.Thread(target=_look_into, args=(seen, client, sight), daemon=True).start()
            while seen.empty():
                if pressed(KEY_SECONDS):
                    return
            sight = seen.get()


def _look_into(seen: SimpleQueue[Sight], client: Millrace, before: Sight) -> None:
    seen.put(look(client, before))


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits for so many seconds, and says at once if a key was pressed that ends it."""
    if not sys.stdin.isatty():
        yield _wait
        return
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin)
    try:
        yield lambda seconds: _pressed(stdin, seconds)
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _pressed(stdin: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([stdin], [], [], left)
        if ready:
            typed = os.read(stdin, 64).decode(errors="replace")
            if not typed or QUIT & set(typed):  # nothing: the terminal is gone
                return True
    return False
