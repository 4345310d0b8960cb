"""What a worker's process stands on."""

from storage.database import Database
from tasks.process import Process, open_process


def test_its_statements_are_planned_once_and_those_of_others_are_not(process: Process, database: Database) -> None:
    worker = open_process(process.settings, "w@here/1/a")
    plans = []
    for one in (worker.database, database):
        with one.platform_read() as tx:
            plans.append(tx.sql("SHOW plan_cache_mode").scalar_one())
    worker.database.close()
    worker.objects.close()
    assert plans == ["force_generic_plan", "auto"]
