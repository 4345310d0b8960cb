"""`python -m scheduler`: the processes that act by the clock."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from scheduler import settings
from scheduler.errors import ConfigurationError, SchedulerError
from scheduler.loop import Loop, keep
from storage import heap
from storage.database import Database
from storage.errors import StorageError
from storage.presence import telling
from storage.telemetry import logs
from storage.telemetry import start as telemetry
from tasks.errors import TasksError

WARM_SECONDS = 2.0  # with --stop-workers: how long workers may go on with what they have begun,
GRACE_SECONDS = 2.0  # and how long to hand back the rest


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def scheduler() -> None:
    """Everything in Millrace that acts by the clock. Its settings stand in docs/settings.md."""


@scheduler.command()
def run() -> None:
    """Relay, reaper, sweeper, counter, schedules, batches, webhooks in one process; any number of these may run."""
    _keep("relay", "reap", "sweep", "count", "fire", "batch", "deliver")


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
    """Delete objects that nobody needs any more."""
    _keep("sweep")


@scheduler.command()
def count() -> None:
    """Fold the journal of changes into the counters of the queues."""
    _keep("count")


@scheduler.command()
def fire() -> None:
    """Fire the schedules that are due; any number of such processes may run."""
    _keep("fire")


@scheduler.command()
def deliver() -> None:
    """End batches whose jobs have ended, and deliver webhooks; any number of such processes may run."""
    _keep("batch", "deliver")


@scheduler.command()
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="Instead of SCHEDULES_FILE.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def apply_schedules(file: Path | None, dry_run: bool) -> None:
    """Have the schedules of a file stand, and no others that an earlier file has made."""
    from storage import settings as storage_settings
    from tasks import applying

    found = file or settings.schedules_file(os.environ)
    if found is None:
        raise ConfigurationError("SCHEDULES_FILE is not set: set it, or name a file with --file")
    wanted = applying.read(found)
    database = Database(storage_settings.from_env(os.environ))
    done = applying.apply(database, applying.FILE, wanted, where=str(found), dry_run=dry_run)
    _print_applied(done.lines, dry_run=dry_run)
    database.close()


@scheduler.command()
@click.option("--app", metavar="MODULE:APP", help="The Celery app whose beat_schedule is meant.")
@click.option("--config", metavar="MODULE", help="Instead of an app: its configuration.  [default: celeryconfig]")
@click.option("--tenant", default="platform", show_default=True, help="Whose schedules they become.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--prune", is_flag=True, help="Delete the tenant's imported schedules that are not there any more.")
def import_beat(app: str | None, config: str | None, tenant: str, dry_run: bool, prune: bool) -> None:
    """Make schedules of the entries of Celery beat's beat_schedule; see docs/beat.md."""
    from scheduler import beat, beat_import
    from storage import settings as storage_settings

    found = beat_import.read(beat.find_app(app, config), tenant)
    for notice in found.notices:
        print(f"notice: {notice}", file=sys.stderr)
    if not found.wanted:
        print(f"notice: there is no beat_schedule in {app or config or 'celeryconfig'}", file=sys.stderr)
    database = Database(storage_settings.from_env(os.environ))
    _print_applied(beat_import.apply(database, found, prune=prune, dry_run=dry_run).lines, dry_run=dry_run)
    database.close()


def _print_applied(lines: Sequence[str], *, dry_run: bool) -> None:
    if dry_run:
        print("dry run: nothing is changed; without --dry-run this would be said:")
    print("\n".join(lines))


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

    found, told = _settings("scaler")
    database, stop = Database(found.database), _stopping()
    acting: Actuator
    if actuator == "kubernetes":
        from scheduler.kubernetes import connect

        acting = connect()
    else:
        acting = Processes(folder, logs, os.environ)
    scaler = Scaler(database=database, actuator=acting, folder=Folder(found.pools), dry_run=dry_run)
    loop = threading.Thread(target=keep, args=({"scale": scaler.run}, stop), name="keep")
    with telling(database, told, {"loops": ["scale"], "dry_run": dry_run}):
        loop.start()
        stop.wait()
        if stop_workers and not dry_run and isinstance(acting, Processes):
            # At once: the loop may be waiting for a database that does not answer.
            acting.stop_all(warm_seconds=WARM_SECONDS, grace_seconds=GRACE_SECONDS)
        loop.join(GRACE_SECONDS)
    telemetry.send_rest()
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
    from scheduler.batches import batch as batch_loop
    from scheduler.count import count as count_loop
    from scheduler.fire import fire as fire_loop
    from scheduler.reap import reap as reap_loop
    from scheduler.relay import relay as relay_loop
    from scheduler.sweep import sweep as sweep_loop
    from storage.objects.blocking import Blocking
    from storage.objects.stores import open_objects

    (found, told), stop = _settings("scheduler"), _stopping()
    database = Database(found.database)
    logs.keep(lambda: database)
    if "fire" in names:
        from scheduler import wanted_schedules

        wanted_schedules.apply_all(database, found.schedules, stop)
    objects = Blocking(open_objects(found.objects))
    firing: Loop = partial(fire_loop, database)
    checkins = None
    if found.sentry is not None and "fire" in names:
        from scheduler.checkins import CheckIns

        checkins = CheckIns(found.sentry, database)
        firing = partial(fire_loop, database, tell=checkins.tell, tell_ends=checkins.tell_ends)
    loops: dict[str, Loop] = {
        "relay": partial(relay_loop, database),
        "reap": partial(reap_loop, database, found.lease_seconds),
        "sweep": partial(sweep_loop, database, objects),
        "count": partial(count_loop, database),
        "fire": firing,
        "batch": partial(batch_loop, database, found.webhooks.public_url),
    }
    if "deliver" in names:
        loops["deliver"] = _delivering(database, found.webhooks)
    heap.settled()
    with telling(database, told, {"loops": list(names)}):
        keep({name: loops[name] for name in names}, stop)
    if checkins is not None:
        checkins.close()
    objects.close()
    telemetry.send_rest()
    logs.end()
    database.close()


def _delivering(database: Database, webhooks: settings.WebhookSettings) -> Loop:
    from scheduler.deliver import Delivering, deliver
    from tasks.outbound import Outbound
    from tasks.outbound_names import resolver_for

    how = Delivering(
        keyring=webhooks.keyring,
        public_url=webhooks.public_url,
        outbound=lambda: Outbound(webhooks.rules, resolver=resolver_for(webhooks.nameservers)),
    )
    return partial(deliver, database, how)


def _settings(role: str) -> tuple[settings.SchedulerSettings, telemetry.Telemetry]:
    told = telemetry.start(role, os.environ)
    return settings.from_env(os.environ), told


def _stopping() -> threading.Event:
    """Set when this process is told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    try:
        scheduler(prog_name="python -m scheduler")
    except (SchedulerError, StorageError, TasksError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
