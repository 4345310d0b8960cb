"""Tells of a pool of connections to the database: how large it is, how many are open, and of these in use."""

from sqlalchemy import event
from sqlalchemy.engine import Engine

from storage.telemetry.metrics import POOL_CONNECTIONS, POOL_SIZE

USED, IDLE = "used", "idle"


def watch(engine: Engine, size: int) -> None:
    """Count from now on; `size` is how many connections the pool may open."""
    allow(size)
    event.listen(engine, "connect", opened)
    event.listen(engine, "close", closed)
    event.listen(engine, "checkout", taken)
    event.listen(engine, "checkin", given_back)


def allow(size: int) -> None:
    """There is one more pool, which may open so many connections."""
    POOL_SIZE.add(by=size)


def forget(size: int) -> None:
    """The pool is no more."""
    POOL_SIZE.add(by=-size)


def opened(*_: object) -> None:
    """A connection, idle."""
    POOL_CONNECTIONS.add(IDLE)


def closed(*_: object) -> None:
    """A connection that was idle."""
    POOL_CONNECTIONS.add(IDLE, by=-1)


def taken(*_: object) -> None:
    """One that was idle is used."""
    POOL_CONNECTIONS.add(IDLE, by=-1)
    POOL_CONNECTIONS.add(USED)


def given_back(*_: object) -> None:
    """One that was used is idle."""
    POOL_CONNECTIONS.add(USED, by=-1)
    POOL_CONNECTIONS.add(IDLE)
