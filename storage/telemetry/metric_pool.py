"""Tells of a pool of connections to the database: how large it is, how many are open, and of these in use."""

from sqlalchemy import event
from sqlalchemy.engine import Engine

from storage.telemetry.metrics import POOL_CONNECTIONS, POOL_SIZE

USED, IDLE = "used", "idle"


def watch(engine: Engine, size: int) -> None:
    """Count from now on; `size` is how many connections the pool may open."""
    POOL_SIZE.add(by=size)
    event.listen(engine, "connect", _opened)
    event.listen(engine, "close", _closed)
    event.listen(engine, "checkout", _taken)
    event.listen(engine, "checkin", _given_back)


def forget(size: int) -> None:
    """The pool is no more."""
    POOL_SIZE.add(by=-size)


def _opened(*_: object) -> None:
    POOL_CONNECTIONS.add(IDLE)


def _closed(*_: object) -> None:
    POOL_CONNECTIONS.add(IDLE, by=-1)


def _taken(*_: object) -> None:
    POOL_CONNECTIONS.add(IDLE, by=-1)
    POOL_CONNECTIONS.add(USED)


def _given_back(*_: object) -> None:
    POOL_CONNECTIONS.add(USED, by=-1)
    POOL_CONNECTIONS.add(IDLE)
