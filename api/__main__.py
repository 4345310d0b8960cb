"""`python -m api`: the HTTP process."""

import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import uvicorn

from api import settings
from api.app import create_app
from api.errors import ConfigurationError
from storage import heap
from storage.errors import StorageError
from storage.telemetry import logs, metric_store
from storage.telemetry import settings as telemetry_settings
from storage.telemetry.start import start

SERVER: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "ws": "none",
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": 3,  # open event streams must not hold up a stop
}


def app() -> object:
    """Made anew in each process that uvicorn starts."""
    telemetry = start("api", os.environ)
    made = create_app(settings.from_env(os.environ), telemetry)
    heap.settled()
    return made


def main() -> None:
    found = settings.from_env(os.environ)
    _allow_files()
    logs.set_up(telemetry_settings.from_env(os.environ, "api"))  # what starts the processes that start the rest
    with _metrics_shared() if found.processes > 1 else nullcontext():
        uvicorn.run(
            "api.__main__:app",
            factory=True,
            host=found.host,
            port=found.port,
            workers=found.processes,
            log_level=found.log_level.lower(),
            log_config=None,  # its loggers hand over to ours
            **SERVER,
        )


def _allow_files() -> None:
    """Open as many connections as may be: the usual limit of 1,024 is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _metrics_shared() -> Iterator[None]:
    """Have the processes tell each other's numbers: whoever asks reaches one of them. Unless they are told where."""
    try:
        os.environ["METRICS_DIR"] = os.environ.get("METRICS_DIR") or str(metric_store.own_folder())
    except OSError as exc:  # then each tells its own
        logging.getLogger(__name__).warning("metrics.not_shared reason=%s", exc)
    try:
        yield
    finally:
        metric_store.close()


if __name__ == "__main__":
    try:
        main()
    except (ConfigurationError, StorageError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
