"""One of several equal processes leads: it holds a lock of the database for as long as its connection lives."""

import contextlib
from typing import Any

import psycopg

from storage.database import Database
from storage.errors import DatabaseUnavailable


class Leadership:
    """A claim to lead under a name. It needs a connection of its own to the server, past a transaction pooler."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = f"millrace {name}"
        self._connection: psycopg.Connection[Any] | None = None
        self._backend = 0  # the server process that has the lock: a pooler could lead us to another

    def hold(self) -> bool:
        """Whether we lead, now; takes the lead if nobody has it. Raises DatabaseUnavailable if that is unknown."""
        try:
            if self._connection is None:
                self._connection = self._database.connect_directly()
                return self._take(self._connection)
            if self._connection.execute("SELECT pg_backend_pid()").fetchone() == (self._backend,):
                return True
            self.close()
            return False
        except psycopg.OperationalError as exc:
            self.close()
            raise DatabaseUnavailable(str(exc).strip()) from exc

    def close(self) -> None:
        """Stop leading."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _take(self, connection: "psycopg.Connection[Any]") -> bool:
        asked = "SELECT pg_try_advisory_lock(hashtext(%s)), pg_backend_pid()"
        row = connection.execute(asked, [self._name]).fetchone()
        if row is not None and row[0]:
            self._backend = row[1]
            return True
        self.close()
        return False
