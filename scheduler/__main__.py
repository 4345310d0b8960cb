"""`python -m scheduler`: the processes that act by the clock."""

import logging
import os
import signal
import sys
import threading
from functools import partial

import click

from scheduler import settings
from scheduler.errors import SchedulerError
from scheduler.loop import Loop, keep
from storage.database import Database
from storage.errors import StorageError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def scheduler() -> None:
    """Everything in Millrace that acts by the clock. Its settings stand in docs/settings.md."""


@scheduler.command()
def run() -> None:
    """Relay, reaper and sweeper in one process; any number of such processes may run."""
    _keep("relay", "reap", "sweep")


@scheduler.command()
def relay() -> None:
    """Tell the workers which steps may run."""
    _keep("relay")


@scheduler.command()
def reap() -> None:
    """Take steps back from workers that say nothing any more, and end jobs whose deadline has passed."""
    _keep("reap")


@scheduler.command()
def sweep() -> None:
    """Delete what has served its time: ended jobs, objects, keys."""
    _keep("sweep")


def _keep(*names: str) -> None:
    from scheduler.reap import reap as reap_loop
    from scheduler.relay import relay as relay_loop
    from scheduler.sweep import sweep as sweep_loop
    from storage.objects.blocking import Blocking
    from storage.objects.stores import open_objects

    found = settings.from_env(os.environ)
    logging.basicConfig(level=found.log_level, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    database = Database(found.database)
    objects = Blocking(open_objects(found.objects))
    loops: dict[str, Loop] = {
        "relay": partial(relay_loop, database),
        "reap": partial(reap_loop, database, found.lease_seconds),
        "sweep": partial(sweep_loop, database, objects, found.kept_seconds),
    }
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep({name: loops[name] for name in names}, stop)
    objects.close()
    database.close()


if __name__ == "__main__":
    try:
        scheduler(prog_name="python -m scheduler")
    except (SchedulerError, StorageError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
