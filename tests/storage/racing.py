"""Two transactions that meet: the second one is seen to wait before the first one goes on."""

from storage.database import Database
from tests.waiting import until


def until_somebody_waits_for_a_lock(database: Database) -> None:
    def waiting() -> bool:
        with database.platform_read() as tx:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            return bool(tx.sql(f"{asked} AND wait_event_type = 'Lock'").scalar_one())

    until(waiting)
