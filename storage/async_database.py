"""Single statements for an event loop: it waits for them by itself, where a thread would cost more than the answer.

psycopg-pool is not used here: while the server is away it lets everybody wait for it, and we say so at once.
"""

import asyncio
import select
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from storage.database import KEEPALIVE, session_of
from storage.driver_errors import ours
from storage.settings import DatabaseSettings
from storage.telemetry import metric_pool

Connection = psycopg.AsyncConnection[Any]


class AsyncDatabase:
    """A few connections of one event loop, opened when they are needed. Each statement is a transaction by itself."""

    def __init__(self, settings: DatabaseSettings, *, connections: int) -> None:
        self._settings = settings
        self._room = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._size = connections
        metric_pool.allow(connections)

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows, named tuples. Raises NotStorable, DatabaseRefused, and DatabaseUnavailable if the server is away:
        whether the statement was done is then not known.
        """
        async with self._room:
            try:
                connection = self._taken() or await self._open()
            except psycopg.Error as exc:
                raise ours(exc) from exc
            metric_pool.taken()
            try:
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.Error as exc:
                raise ours(exc) from exc
            except BaseException:  # whoever asked was cancelled: the answer must not be the next one's
                await connection.close()
                raise
            finally:
                metric_pool.given_back()
                if connection.closed:
                    metric_pool.closed()
                else:
                    self._idle.append(connection)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().close()
            metric_pool.closed()
        metric_pool.forget(self._size)

    def _taken(self) -> Connection | None:
        """The connection that was used last, if the server has not left it meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            connection.pgconn.finish()
            metric_pool.closed()
        return None

    async def _open(self) -> Connection:
        made = await psycopg.AsyncConnection.connect(
            self._settings.url,
            autocommit=True,
            row_factory=namedtuple_row,
            connect_timeout=5,
            **session_of(self._settings),
            **KEEPALIVE,
        )
        metric_pool.opened()
        return made


def _has_news(connection: Connection) -> bool:
    """Whether an idle connection can be read: then it has been closed, for the server says nothing unasked."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
