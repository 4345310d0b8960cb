"""`python -m scheduler`: the processes that act by the clock."""

import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import click

from scheduler import settings
from scheduler.errors import SchedulerError
from scheduler.loop import Loop, keep
from storage.database import Database
from storage.errors import StorageError

WARM_SECONDS = 2.0  # with --stop-workers: how long workers may go on with what they have begun,
GRACE_SECONDS = 2.0  # and how long to hand back the rest


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def scheduler() -> None:
    """Everything in Millrace that acts by the clock. Its settings stand in docs/settings.md."""


@scheduler.command()
def run() -> None:
    """Relay, reaper, sweeper and counter in one process; any number of such processes may run."""
    _keep("relay", "reap", "sweep", "count")


@scheduler.command()
def relay() -> None:
    """Tell the workers which steps may run; it counts as well."""
    _keep("relay", "count")


@scheduler.command()
def reap() -> None:
    """Take steps back from workers that say nothing any more, and end jobs whose deadline has passed."""
    _keep("reap")


@scheduler.command()
def sweep() -> None:
    """Delete what has served its time: ended jobs, objects, keys."""
    _keep("sweep")


@scheduler.command()
def count() -> None:
    """Fold the journal of changes into the counters of the queues."""
    _keep("count")


@scheduler.command()
@click.option("--dry-run", is_flag=True, help="Decide and write it down, but start and stop nothing.")
@click.option(
    "--actuator",
    type=click.Choice(["processes", "kubernetes"]),
    default="processes",
    show_default=True,
    help="Where replicas run: as processes of this machine, or as pods.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".millrace/workers",
    show_default=True,
    help="Of processes: where notes of them are kept, by which the next run finds them again.",
)
@click.option(
    "--logs",
    type=click.Path(path_type=Path, file_okay=False),
    default=".millrace/log",
    show_default=True,
    help="Of processes: where their logs go.",
)
@click.option("--stop-workers", is_flag=True, help="Of processes: stop them when this is stopped. Else they go on.")
def scale(dry_run: bool, actuator: str, folder: Path, logs: Path, stop_workers: bool) -> None:
    """Give each pool as many workers as its ScaledObject asks for.

    The pools stand in POOLS_DIR (deploy/k8s/pools), a file each. One scaler leads, others stand by.
    """
    from scheduler.actuator import Actuator
    from scheduler.folder import Folder
    from scheduler.processes import Processes
    from scheduler.scale import Scaler

    found = _settings()
    database, stop = Database(found.database), _stopping()
    acting: Actuator
    if actuator == "kubernetes":
        from scheduler.kubernetes import connect

        acting = connect()
    else:
        acting = Processes(folder, logs, os.environ)
    scaler = Scaler(database=database, actuator=acting, folder=Folder(found.pools), dry_run=dry_run)
    loop = threading.Thread(target=keep, args=({"scale": scaler.run}, stop), name="keep")
    loop.start()
    stop.wait()
    if stop_workers and not dry_run and isinstance(acting, Processes):
        # At once: the loop may be waiting for a database that does not answer.
        acting.stop_all(warm_seconds=WARM_SECONDS, grace_seconds=GRACE_SECONDS)
    loop.join(GRACE_SECONDS)
    if loop.is_alive():
        os._exit(os.EX_OK)
    acting.close()
    database.close()


@scheduler.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def keda(words: tuple[str, ...]) -> None:
    """Tell KEDA how much there is to do, over gRPC."""
    from scheduler.keda.command import keda as answering

    answering.main(list(words), prog_name="python -m scheduler keda", standalone_mode=False)


@scheduler.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def simulate(words: tuple[str, ...]) -> None:
    """Compare ways to scale on a trace of arrivals."""
    from scheduler.simulation.command import simulate as simulating

    simulating.main(list(words), prog_name="python -m scheduler simulate", standalone_mode=False)


def _keep(*names: str) -> None:
    from scheduler.count import count as count_loop
    from scheduler.reap import reap as reap_loop
    from scheduler.relay import relay as relay_loop
    from scheduler.sweep import sweep as sweep_loop
    from storage.objects.blocking import Blocking
    from storage.objects.stores import open_objects

    found, stop = _settings(), _stopping()
    database = Database(found.database)
    objects = Blocking(open_objects(found.objects))
    loops: dict[str, Loop] = {
        "relay": partial(relay_loop, database),
        "reap": partial(reap_loop, database, found.lease_seconds),
        "sweep": partial(sweep_loop, database, objects, found.kept_seconds),
        "count": partial(count_loop, database),
    }
    keep({name: loops[name] for name in names}, stop)
    objects.close()
    database.close()


def _settings() -> settings.SchedulerSettings:
    found = settings.from_env(os.environ)
    logging.basicConfig(level=found.log_level, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    return found


def _stopping() -> threading.Event:
    """Set when this process is told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    try:
        scheduler(prog_name="python -m scheduler")
    except (SchedulerError, StorageError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
