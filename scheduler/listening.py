"""Waits for an announcement of the database's, or for a time to pass."""

import threading
import time
from typing import Any

import psycopg

from storage.errors import DatabaseUnavailable

STOP_SECONDS = 0.25  # how soon it notices that it is to stop


def wait(connection: "psycopg.Connection[Any]", seconds: float, stop: threading.Event) -> bool:
    """Return when something was announced, the time is over, or we are to stop; further announcements are coalesced.

    Says whether something was announced. Raises DatabaseUnavailable.
    """
    deadline = time.monotonic() + seconds
    try:
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if list(connection.notifies(timeout=min(left, STOP_SECONDS), stop_after=1)):
                list(connection.notifies(timeout=0))
                return True
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailable(str(exc).strip()) from exc
    return False
