"""Tells the database, from a thread of its own, that this process lives."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage import processes
from storage.database import Database, PlatformTx
from storage.errors import StorageError
from storage.model import Json
from storage.processes import EVERY_SECONDS, Known
from storage.telemetry.start import Telemetry

log = logging.getLogger(__name__)

LAST_WORD_SECONDS = 1.0  # a stop waits for the last word no longer: then the process counts as living until its time


@contextmanager
def telling(
    database: Database, telemetry: Telemetry, detail: Json = None, *, every_seconds: float = EVERY_SECONDS
) -> Iterator[None]:
    """Say that this process lives while the block runs, and that it has ended afterwards.

    A database that is away is told later; nothing here fails or waits because of it.
    """
    settings = telemetry.settings
    known = Known(
        name=settings.name,
        role=settings.role,
        version=settings.version,
        metrics_url=telemetry.metrics_url,
        detail=detail or {},
    )
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(database, known, ended, every_seconds), name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_WORD_SECONDS)


def _tell(database: Database, known: Known, ended: threading.Event, every_seconds: float) -> None:
    is_told = True
    while True:
        said = _say(database, lambda tx: processes.seen(tx, known))
        if said is not None and is_told:
            log.warning("presence.untold reason=%s", said)  # once, however long it is away
        is_told = said is None
        if ended.wait(every_seconds):
            break
    if is_told:
        _say(database, lambda tx: processes.gone(tx, known.name))


def _say(database: Database, what: Callable[[PlatformTx], None]) -> StorageError | None:
    """Returns why it could not be said, if so."""
    try:
        with database.platform() as tx:
            tx.sql("SET LOCAL synchronous_commit = off")  # what a crash of the server forgets is said again
            what(tx)
    except StorageError as exc:
        return exc
    return None
