"""What PostgreSQL's driver raises, in our own words."""

import psycopg

from storage.errors import DatabaseRefused, DatabaseUnavailable, NotStorable, RowBusy, StorageError

# What is wrong with one row, and not with the statement or the server.
_OF_ROW = (
    psycopg.DataError,
    psycopg.errors.CheckViolation,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.ProgramLimitExceeded,
)


def ours(exc: BaseException | None) -> StorageError:
    """The error to raise for one of psycopg's."""
    if isinstance(exc, _OF_ROW):
        return NotStorable(reason(exc))
    if isinstance(exc, psycopg.errors.LockNotAvailable):
        return RowBusy(reason(exc))
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailable(reason(exc))
    return DatabaseRefused(reason(exc))


def reason(exc: BaseException | None) -> str:
    """Its first line: the others quote the statement."""
    return str(exc).strip().partition("\n")[0]
