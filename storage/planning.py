"""Keeps the planner's idea of the tables from being far behind them.

A plan that was made while a table was nearly empty is kept, by each connection, until the table is analyzed; then any
index of the tenant looked as good as the row's own. In a first flood every step was looked for among all steps of its
tenant, 2 ms each at 4,000 jobs, until autovacuum came by, up to a minute later.
"""

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from storage.database import Database

GROWTH = 4  # a table with so many times the rows that the planner knows of is analyzed,
ROWS = 50  # and one with fewer than GROWTH times these never here

# step_changes is emptied as fast as it fills, and vacuumed by the journal.
_GROWN = """
SELECT s.relname
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = current_schema() AND s.relname <> 'step_changes' AND pg_has_role(c.relowner, 'USAGE')
  AND s.n_live_tup > %(growth)s * GREATEST(c.reltuples, %(rows)s)
ORDER BY s.relname
"""


def analyze_grown(database: Database) -> Sequence[str]:
    """Analyze our own tables that have grown much since it was last done, by whomever; returns their names.

    Takes 0.1 s a table at most: PostgreSQL looks at a sample. One that is being vacuumed just now is left for later.
    """
    with database.platform_read() as tx:
        names: Sequence[str] = tx.sql(_GROWN, growth=GROWTH, rows=ROWS).scalars().all()
        for name in names:
            tx.sql(SQL("ANALYZE (SKIP_LOCKED) {}").format(Identifier(name)).as_string())
    return names
