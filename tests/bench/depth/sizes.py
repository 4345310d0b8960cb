"""How many bytes the tables and indexes take, by job, what of it is dead, and how often each index was asked."""

from typing import Any

from storage.database import Database, PlatformTx

TABLES = ("jobs", "steps", "attempts", "events", "step_changes", "step_counts", "step_flow", "service_times")

_SIZES = """
SELECT c.relname AS name, c.relkind = 'i' AS is_index, pg_relation_size(c.oid) AS bytes, i.idx_scan AS scans,
       s.n_dead_tup AS dead, 100 * s.n_tup_hot_upd / nullif(s.n_tup_upd, 0) AS hot
FROM pg_class t
JOIN LATERAL (SELECT t.oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = t.oid) AS o ON true
JOIN pg_class c ON c.oid = o.oid
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
LEFT JOIN pg_stat_user_indexes i ON i.indexrelid = c.oid
WHERE t.relname = ANY (%(tables)s) AND t.relnamespace = 'public'::regnamespace
ORDER BY t.relname, is_index, c.relname
"""


def tell(database: Database, *, jobs: int | None = None) -> None:
    """Print them; `jobs` is counted if it is not given. Updates are HOT that write into no index."""
    with database.platform_read() as tx:
        count = jobs or int(tx.sql("SELECT count(*) FROM jobs").scalar_one())
        rows = read(tx)
    print(
        f"{format(count, ',') + ' jobs':<40} {'MiB':>9} {'bytes/job':>10} {'dead rows':>10} {'HOT, %':>8} {'scans':>10}"
    )
    for row in rows:
        name = f"  {row.name}" if row.is_index else row.name
        told = f"{_or_none(row.dead):>10} {_or_none(row.hot):>8} {_or_none(row.scans):>10}"
        print(f"{name:<40} {row.bytes / 2**20:9.1f} {row.bytes / max(count, 1):10.1f} {told}")
    whole = sum(row.bytes for row in rows)
    print(f"{'all':<40} {whole / 2**20:9.1f} {whole / max(count, 1):10.1f}")


def read(tx: PlatformTx) -> list[Any]:
    return list(tx.sql(_SIZES, tables=list(TABLES)))


def _or_none(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
