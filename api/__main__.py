"""`python -m api`: the HTTP process."""

import os
import sys
from typing import Any

import uvicorn

from api import settings
from api.app import create_app
from api.errors import ConfigurationError
from storage.errors import StorageError
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
    start("api", os.environ)
    return create_app(settings.from_env(os.environ))


def main() -> None:
    found = settings.from_env(os.environ)
    uvicorn.run(
        "api.__main__:app",
        factory=True,
        host=found.host,
        port=found.port,
        workers=found.processes,
        log_level=found.log_level.lower(),
        **SERVER,
    )


if __name__ == "__main__":
    try:
        main()
    except (ConfigurationError, StorageError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
