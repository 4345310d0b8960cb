"""Tells the database that this worker lives: which queues it serves, with how many slots."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from storage import workers
from storage.database import PlatformTx
from storage.errors import StorageError
from storage.telemetry import metric_store
from tasks import process

log = logging.getLogger(__name__)

VERSION = version("millrace")
LEASES = 2  # a worker that has said nothing for so many leases is not counted any more


class Presence:
    """What this worker is; to be told by its parent process. A database that is away is told later."""

    def __init__(self, queues: Sequence[str], slots: int) -> None:
        self._queues = tuple(queues)
        self._slots = slots
        self._told = float("-inf")
        self._lock = threading.Lock()
        self._is_stopping = self._is_gone = False

    def tell(self) -> None:
        """Say that it lives, if that was not said lately."""
        seconds = process.current().settings.lease_seconds
        with self._lock:
            self._tell(seconds)

    def stopping(self) -> None:
        """Say that it begins nothing new; it is said again with every further word."""
        with self._lock:
            self._is_stopping, self._told = True, float("-inf")
            self._tell(process.current().settings.lease_seconds)

    def gone(self) -> None:
        """Say that it has ended, as the last word."""
        with self._lock:
            self._is_gone = True
            name = process.current().worker
            _say(lambda tx: workers.gone(tx, name))

    def _tell(self, seconds: float) -> None:
        if self._is_gone or time.monotonic() - self._told < seconds / 3:
            return
        self._told = time.monotonic()
        metric_store.tidy()
        name, life = process.current().worker, LEASES * seconds
        _say(
            lambda tx: workers.seen(
                tx,
                name,
                queues=self._queues,
                slots=self._slots,
                for_seconds=life,
                stopping=self._is_stopping,
                version=VERSION,
                metrics_url=process.metrics_url(),
            )
        )


def _say(what: Callable[[PlatformTx], None]) -> None:
    try:
        with process.current().database.platform() as tx:
            what(tx)
    except StorageError as exc:
        log.warning("presence.untold reason=%s", exc)
