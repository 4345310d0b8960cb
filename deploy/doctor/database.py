"""PostgreSQL: whether it answers, what it is, and what will be trouble before long."""

from collections.abc import Iterator
from typing import Any

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from deploy.doctor.findings import Finding, fail, ok, one_line, warn
from storage.migrate import MIGRATIONS
from storage.settings import DatabaseSettings

ABOUT = "database"
OLDEST_VERSION = 160_000
CONNECT_SECONDS = 3
STATEMENT_MS = 4000
FULL_SHARE = 0.8  # of the connections
LONG_SECONDS = 300.0  # of a transaction: what it has seen cannot be cleared away
LAG_SECONDS = 10.0
KEPT_WAL_BYTES = 10 * 1024**3  # for a replica that does not come to fetch it
DEAD_ROWS = 1_000_000
DEAD_SHARE = 0.5
OLD_TRANSACTIONS = 1_000_000_000  # of two billion, after which it stops

_STATE = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS words,
  current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int AS most,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
  (SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float FROM pg_stat_activity
   WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()) AS oldest,
  (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') AS locked,
  pg_database_size(current_database()) AS bytes,
  (SELECT max(age(datfrozenxid)) FROM pg_database) AS transactions,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
  pg_is_in_recovery() AS is_replica
"""

_REPLICAS = """
SELECT coalesce(application_name, '') AS name, state,
       extract(epoch FROM coalesce(replay_lag, '0'))::float AS seconds
FROM pg_stat_replication ORDER BY 1
"""

_SLOTS = """
SELECT slot_name AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes
FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL
"""

# By the statistics: to measure a table, one would have to wait for whoever has locked it.
_TABLES = """
SELECT s.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead, c.relpages::bigint * 8192 AS bytes
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid ORDER BY s.n_dead_tup DESC LIMIT 30
"""


def check(settings: DatabaseSettings) -> list[Finding]:
    """All of it, on a connection of its own, straight to the server."""
    options = f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={STATEMENT_MS} -c default_transaction_read_only=on"
    target = make_conninfo(settings.direct_url, connect_timeout=CONNECT_SECONDS, options=options)
    found: list[Finding] = []
    try:
        with psycopg.connect(target, autocommit=True, row_factory=dict_row) as connection:
            for part in (_server, _schema, _replication, _tables):
                found += part(connection)
    except psycopg.Error as exc:
        found.append(
            fail(
                ABOUT,
                f"The database cannot be asked: {one_line(exc)}",
                "See whether it runs, whether this machine may connect, and whether DATABASE_URL is right.",
            )
        )
    return found


def _server(connection: "psycopg.Connection[dict[str, Any]]") -> Iterator[Finding]:
    row = _one(connection, _STATE)
    yield from _version(row)
    share = row["connections"] / row["most"]
    words = f"{row['connections']} of {row['most']} connections are in use"
    if share >= FULL_SHARE:
        mend = "Raise max_connections, lower DATABASE_POOL_SIZE, or put PgBouncer before it: docs/real-servers.md."
        yield warn(ABOUT, f"{words}: soon processes will be refused.", mend, share=round(share, 2))
    else:
        yield ok(ABOUT, f"{words}.", connections=row["connections"], most=row["most"])
    if (row["oldest"] or 0.0) >= LONG_SECONDS:
        yield warn(
            ABOUT,
            f"A transaction is open since {row['oldest'] / 60:.0f} min: what was deleted since is not cleared away.",
            "Find it in pg_stat_activity (xact_start), and end it: pg_terminate_backend.",
            oldest_transaction_seconds=round(row["oldest"]),
        )
    if row["locked"]:
        yield warn(
            ABOUT,
            f"{row['locked']} sessions wait for a lock.",
            "pg_blocking_pids(pid) says who holds them up.",
            waiting_for_locks=row["locked"],
        )
    if row["transactions"] >= OLD_TRANSACTIONS:
        yield fail(
            ABOUT,
            f"The oldest transaction that is not frozen is {row['transactions']} old: at 2 billion the server stops.",
            "Find out why autovacuum does not finish (long transactions, idle slots), and run VACUUM FREEZE.",
        )


def _version(row: dict[str, Any]) -> Iterator[Finding]:
    if row["version"] < OLDEST_VERSION:
        yield fail(ABOUT, f"PostgreSQL {row['words']} is too old.", "Use PostgreSQL 16 or later.")
    else:
        yield ok(ABOUT, f"PostgreSQL {row['words']} answers; {_size(row['bytes'])}.", bytes=row["bytes"])
    if row["is_replica"]:
        yield fail(ABOUT, "It is a replica, which cannot be written to.", "Let DATABASE_URL lead to the primary.")
    if "off" in (row["fsync"], row["pages"]):
        yield warn(
            ABOUT,
            "fsync or full_page_writes is off: a crash of the machine may destroy it.",
            "Turn both on, unless these data may be lost.",
        )


def _schema(connection: "psycopg.Connection[dict[str, Any]]") -> Iterator[Finding]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    mend = "Run `python -m storage migrate`, before processes of this version start."
    if not _one(connection, "SELECT to_regclass('alembic_version') IS NOT NULL AS there")["there"]:
        yield fail("schema", "The database has no tables of Millrace.", mend)
        return
    current = _one(connection, "SELECT max(version_num) AS number FROM alembic_version")["number"]
    if current == head:
        yield ok("schema", f"The schema is at revision {head}, the newest.", revision=head)
    elif current is not None and current > (head or ""):
        mend = "A newer version has migrated it: install that version here, too."
        yield warn("schema", f"The schema is at revision {current}, and this version knows {head}.", mend)
    else:
        yield fail("schema", f"The schema is at revision {current}; this version needs {head}.", mend)


def _replication(connection: "psycopg.Connection[dict[str, Any]]") -> Iterator[Finding]:
    for row in connection.execute(_REPLICAS):
        words = f"The replica '{row['name']}' is {row['seconds']:.1f} s behind"
        if row["seconds"] >= LAG_SECONDS or row["state"] != "streaming":
            mend = "Look at its disk, its network and long queries on it."
            yield warn("replication", f"{words} ({row['state']}).", mend, lag_seconds=round(row["seconds"], 1))
        else:
            yield ok("replication", f"{words}.", lag_seconds=round(row["seconds"], 1))
    for row in connection.execute(_SLOTS):
        if row["bytes"] >= KEPT_WAL_BYTES:
            yield warn(
                "replication",
                f"The slot '{row['name']}', which nobody reads, keeps {_size(row['bytes'])} of the log.",
                "Bring its replica back, or drop it: pg_drop_replication_slot.",
                bytes=row["bytes"],
            )


def _tables(connection: "psycopg.Connection[dict[str, Any]]") -> Iterator[Finding]:
    """Hints that the disk fills with what nobody needs."""
    for row in connection.execute(_TABLES):
        if row["dead"] >= DEAD_ROWS and row["dead"] >= DEAD_SHARE * row["live"]:
            yield warn(
                "disk",
                f"The table {row['name']} has {row['dead']} dead rows beside {row['live']} ({_size(row['bytes'])}).",
                "Autovacuum does not keep up: look for long transactions, and at its settings.",
                bytes=row["bytes"],
            )


def _one(connection: "psycopg.Connection[dict[str, Any]]", statement: str) -> dict[str, Any]:
    row = connection.execute(statement).fetchone()  # type: ignore[call-overload,unused-ignore]
    assert row is not None
    return dict(row)


def _size(count: int) -> str:
    for unit, size in (("TB", 1000**4), ("GB", 1000**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000**2:.0f} MB"
