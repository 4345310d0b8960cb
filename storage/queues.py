"""Queues that an operator has stopped: nothing new starts from them, everywhere, until they go on."""

from collections.abc import Mapping
from datetime import datetime

from storage.database import PlatformTx

_PAUSE = """
INSERT INTO queues (name, paused_at) VALUES (%(name)s, now())
ON CONFLICT (name) DO UPDATE SET paused_at = COALESCE(queues.paused_at, now())
"""


def pause(tx: PlatformTx, name: str) -> None:
    """From the commit on no step of the queue can be claimed; those that run go on. Twice is as once."""
    tx.sql(_PAUSE, name=name)


def resume(tx: PlatformTx, name: str) -> None:
    """Let the queue go on; the relay is woken at the commit."""
    tx.sql("UPDATE queues SET paused_at = NULL WHERE name = %(name)s", name=name)
    tx.sql("SELECT pg_notify('millrace_ready', '')")


def paused(tx: PlatformTx) -> Mapping[str, datetime]:
    """The queues that are paused, and since when."""
    return {row.name: row.paused_at for row in tx.sql("SELECT name, paused_at FROM queues WHERE paused_at IS NOT NULL")}
