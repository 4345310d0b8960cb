"""`python -m deploy.flower`: Flower, as operators need it. See docs/flower.md.

Its own settings (FLOWER_…) all work; the defaults are ours. What it missed, since it was down or the broker was away,
is filled in from the rows, which know every attempt.
"""

import ipaddress
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from flower.app import Flower
from flower.command import apply_env_options, extract_settings
from flower.events import Events
from flower.options import options
from flower.urls import settings as tornado_settings
from tornado.ioloop import IOLoop, PeriodicCallback

from deploy.flower_memory import Memory
from storage import settings as storage_settings
from storage.database import Database
from storage.errors import ConfigurationError
from storage.telemetry.start import start
from tasks.app import app

log = logging.getLogger(__name__)

SAVE_MS = 15_000  # at most so much is lost by a kill, and found again in the rows
MAX_TASKS = 10_000  # each takes about 2 KB
PURGE_SECONDS = 60
REFILL_MS = 60_000
MANAGEMENT_PORT = 15672  # RabbitMQ's HTTP API


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowerSettings:
    """`public_url` leads to our page; `database` is None where Flower is to know only what it hears."""

    database: storage_settings.DatabaseSettings | None
    public_url: str
    broker_url: str


def from_env(env: Mapping[str, str]) -> FlowerSettings:
    """Read CELERY_BROKER_URL, PUBLIC_URL and DATABASE_URL (without it nothing is filled in).

    Raises ConfigurationError with one line that names the variable.
    """
    if not env.get("CELERY_BROKER_URL"):
        raise ConfigurationError("CELERY_BROKER_URL is not set; it looks like redis://:password@host:6379/0")
    return FlowerSettings(
        database=storage_settings.from_env(env) if env.get("DATABASE_URL") else None,
        public_url=env.get("PUBLIC_URL", "").rstrip("/"),
        broker_url=env["CELERY_BROKER_URL"],
    )


def configure(found: FlowerSettings) -> None:
    """Set Flower's options: our defaults, then FLOWER_… of the environment. Raises ConfigurationError."""
    options.address = "127.0.0.1"
    options.natural_time = True
    options.tasks_columns = "name,uuid,state,kwargs,received,started,runtime,worker"
    options.purge_offline_workers = PURGE_SECONDS
    options.max_tasks = MAX_TASKS
    options.persistent = True
    options.state_save_interval = SAVE_MS
    options.read_only = True
    options.broker_api = management_api(found.broker_url)
    options.format_task = formatter(found.public_url)
    try:
        apply_env_options()
    except (ValueError, KeyError, AttributeError) as exc:
        raise ConfigurationError(f"one of FLOWER_… has a value that Flower does not take: {exc}") from exc
    check_access(options.address, is_guarded=bool(options.basic_auth or options.auth))
    Path(options.db).absolute().parent.mkdir(parents=True, exist_ok=True)


def check_access(address: str, *, is_guarded: bool) -> None:
    """Raise ConfigurationError if everybody in the network could see all tasks."""
    try:
        is_here = ipaddress.ip_address(address or "0.0.0.0").is_loopback  # noqa: S104 - as Flower reads it
    except ValueError:
        is_here = address == "localhost"
    if not is_here and not is_guarded:
        raise ConfigurationError(
            f"FLOWER_BASIC_AUTH is not set (user:password), and Flower would answer on {address or 'every address'}"
        )


def management_api(broker_url: str) -> str | None:
    """Where RabbitMQ's management plugin answers by default; None for other brokers."""
    parts = urlsplit(broker_url)
    if not parts.scheme.startswith(("amqp", "pyamqp")):
        return None
    user, password = parts.username or "guest", parts.password or "guest"
    return f"http://{quote(user, safe='%')}:{quote(password, safe='%')}@{parts.hostname}:{MANAGEMENT_PORT}/api/"


def formatter(public_url: str) -> Any:
    """What is shown of a task: of its arguments the ids of job and tenant, and where our page tells more."""

    def format_task(task: Any) -> Any:
        ids = json.loads((task.kwargs or "{}").replace("'", '"'))
        task.args = ""
        task.kwargs = " ".join(f"{name}={ids[name]}" for name in ("job", "tenant") if name in ids)
        if public_url and "job" in ids:
            task.kwargs += f" {public_url}/#/jobs/{ids['job']}"
        return task

    return format_task


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    found = from_env(os.environ)
    start("flower", os.environ)
    configure(found)
    extract_settings()
    events = Events(
        app,
        io_loop=IOLoop.current(),
        db=str(Path(options.db).absolute()),
        persistent=options.persistent,
        state_save_interval=options.state_save_interval,
        enable_events=options.enable_events,
        max_workers_in_memory=options.max_workers,
        max_tasks_in_memory=options.max_tasks,
    )
    flower = Flower(capp=app, options=options, events=events, **tornado_settings)
    if found.database is not None:
        memory = Memory(Database(found.database), events.state, limit=options.max_tasks)
        IOLoop.current().add_callback(memory.fill_all)
        PeriodicCallback(memory.fill_latest, REFILL_MS).start()
    port = flower.start_http_server()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: IOLoop.current().add_callback_from_signal(flower.stop))
    log.info("flower.ready address=%s port=%s", options.address, port)
    flower.start()


if __name__ == "__main__":
    try:
        main()
    except ConfigurationError as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(os.EX_CONFIG)
