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
    """Everything in Millrace that acts by the clock. Reads DATABASE_URL, CELERY_BROKER_URL, LOG_LEVEL."""


@scheduler.command()
def run() -> None:
    """Relay and reaper in one process; any number of such processes may run."""
    _keep("relay", "reap")


@scheduler.command()
def relay() -> None:
    """Tell the workers which steps may run."""
    _keep("relay")


@scheduler.command()
def reap() -> None:
    """Take steps back from workers that say nothing any more."""
    _keep("reap")


def _keep(*names: str) -> None:
    from scheduler.reap import reap as reap_loop
    from scheduler.relay import relay as relay_loop

    found = settings.from_env(os.environ)
    logging.basicConfig(level=found.log_level, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    database = Database(found.database)
    loops: dict[str, Loop] = {"relay": partial(relay_loop, database), "reap": partial(reap_loop, database)}
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep({name: loops[name] for name in names}, stop)
    database.close()


if __name__ == "__main__":
    try:
        scheduler(prog_name="python -m scheduler")
    except (SchedulerError, StorageError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
