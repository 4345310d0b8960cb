"""Connections to PostgreSQL: a transaction belongs to a tenant (who decides the shard) or to a platform loop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, CursorResult, Executable, create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.driver_errors import ours, reason
from storage.errors import DatabaseUnavailable, NotStorable
from storage.model import TenantId
from storage.settings import DatabaseSettings
from storage.telemetry import metric_pool

FROZEN_TIMEOUT_MS = 15_000  # between two statements of a transaction
STATEMENT_TIMEOUT_MS = 30_000  # nothing that we ask takes longer; a stuck statement must not hold a lock for ever


@dataclass(frozen=True, kw_only=True, slots=True)
class Tx:
    """An open transaction on the shard of one tenant; every query in it names that tenant."""

    tenant_id: TenantId
    connection: Connection
    acts: list[Callable[[], None]] = field(default_factory=list, compare=False)  # see after_commit

    def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def sql(self, statement: str, **parameters: Any) -> CursorResult[Any]:
        """Run one of the hot statements as psycopg takes it; `%(tenant)s` is always given."""
        return self.connection.exec_driver_sql(statement, {"tenant": self.tenant_id, **parameters})

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call it once all of this stands: for what only counts or tells, must not fail and asks no database."""
        self.acts.append(act)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformTx:
    """An open transaction of the platform itself on one shard, across its tenants: directory, relay, reaper."""

    connection: Connection
    acts: list[Callable[[], None]] = field(default_factory=list, compare=False)

    def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def sql(self, statement: str, **parameters: Any) -> CursorResult[Any]:
        return self.connection.exec_driver_sql(statement, parameters)

    def after_commit(self, act: Callable[[], None]) -> None:
        """As of Tx."""
        self.acts.append(act)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is done in the block is done whole, or not at all while the rest of the transaction stands."""
        before = len(self.acts)
        try:
            with _as_ours(), self.connection.begin_nested():
                yield
        except BaseException:
            del self.acts[before:]
            raise

    def of(self, tenant_id: TenantId) -> Tx:
        """The same transaction, for work on one tenant's rows."""
        return Tx(tenant_id=tenant_id, connection=self.connection, acts=self.acts)


class Database:
    """The pool of connections. Make it after a fork: a child must not use its parent's."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.settings = settings
        self._engine = _engine(settings)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def begin(self, tenant_id: TenantId) -> Iterator[Tx]:
        """A transaction that commits at the end of the block; DatabaseUnavailable if the server is away."""
        acts: list[Callable[[], None]] = []
        with _as_ours(), self._engine.begin() as connection:
            yield Tx(tenant_id=tenant_id, connection=connection, acts=acts)
        _do(acts)

    @contextmanager
    def read(self, tenant_id: TenantId) -> Iterator[Tx]:
        """Single statements without a transaction around them: one round trip each."""
        acts: list[Callable[[], None]] = []
        with _as_ours(), self._reading.connect() as connection:
            yield Tx(tenant_id=tenant_id, connection=connection, acts=acts)
        _do(acts)

    @contextmanager
    def snapshot(self, tenant_id: TenantId) -> Iterator[Tx]:
        """For several questions about one moment: what is committed in between is not seen."""
        with _as_ours(), self._snapshots.begin() as connection:
            yield Tx(tenant_id=tenant_id, connection=connection)

    @contextmanager
    def platform(self) -> Iterator[PlatformTx]:
        """A transaction of the platform, across tenants."""
        acts: list[Callable[[], None]] = []
        with _as_ours(), self._engine.begin() as connection:
            yield PlatformTx(connection=connection, acts=acts)
        _do(acts)

    @contextmanager
    def platform_read(self) -> Iterator[PlatformTx]:
        """Single statements of the platform without a transaction around them."""
        acts: list[Callable[[], None]] = []
        with _as_ours(), self._reading.connect() as connection:
            yield PlatformTx(connection=connection, acts=acts)
        _do(acts)

    @contextmanager
    def platform_snapshot(self) -> Iterator[PlatformTx]:
        """For several questions of the platform about one moment."""
        with _as_ours(), self._snapshots.begin() as connection:
            yield PlatformTx(connection=connection)

    @contextmanager
    def listen(self, channel: str) -> Iterator["psycopg.Connection[Any]"]:
        """A connection of its own that LISTENs; the caller reads what comes."""
        try:
            with self.connect_directly() as connection:
                connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                yield connection
        except psycopg.OperationalError as exc:
            raise DatabaseUnavailable(str(exc).strip()) from exc

    def connect_directly(self) -> "psycopg.Connection[Any]":
        """A connection of the caller's own, past a transaction pooler. Raises psycopg.OperationalError."""
        options = f"{_OPTIONS} -c tcp_user_timeout=15000"  # of the server's side: locks must not outlive their holder
        target = make_conninfo(self.settings.direct_url, connect_timeout=5, options=options, **KEEPALIVE)
        return psycopg.connect(target, autocommit=True)

    def check(self) -> None:
        """Raise DatabaseUnavailable unless the server answers."""
        with _as_ours(), self._reading.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()
        metric_pool.forget(self.settings.pool_size)


# A server that vanished without a word is noticed within about 15 s instead of hours.
KEEPALIVE: Mapping[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# The server's side of the same, and the end of a transaction whose owner froze in it, with the locks it holds. Behind a
# pooler these are for the role to set, see docs/real-servers.md.
_OPTIONS = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout={FROZEN_TIMEOUT_MS}"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
)


def session_of(settings: DatabaseSettings) -> Mapping[str, Any]:
    """What psycopg is told of a pooled connection: through a PgBouncer no prepared statements and no options."""
    if settings.url != settings.direct_url:
        return {"prepare_threshold": None}
    return {"options": f"{_OPTIONS} -c plan_cache_mode=force_generic_plan" if settings.one_plan else _OPTIONS}


def _engine(settings: DatabaseSettings) -> Engine:
    engine = create_engine(
        make_url(settings.url).set(drivername="postgresql+psycopg"),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,  # few connections stay warm instead of all of them lukewarm
        connect_args={"connect_timeout": 5, **session_of(settings), **KEEPALIVE},
    )
    metric_pool.watch(engine, settings.pool_size)
    return engine


def _do(acts: list[Callable[[], None]]) -> None:
    for act in acts:
        act()


@contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except DataError as exc:
        raise NotStorable(reason(exc.orig)) from exc
    except DBAPIError as exc:
        raise (DatabaseUnavailable(reason(exc.orig)) if exc.connection_invalidated else ours(exc.orig)) from exc
    except PoolTimeout as exc:
        raise DatabaseUnavailable(reason(exc)) from exc
