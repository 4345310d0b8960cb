"""Tables that grow are analyzed, so that nothing is planned for an empty one."""

import threading
from collections.abc import Iterator

import pytest

from scheduler.count import count
from storage.database import Database
from storage.model import TenantId, new_job_id
from storage.planning import GROWTH, ROWS, analyze_grown
from tasks.document import parse
from tasks.submit import Birth, submit_all
from tests.documents import ECHO
from tests.waiting import until

MANY = GROWTH * ROWS + 1


def submit_many(database: Database, tenant: TenantId, jobs: int) -> None:
    """So many jobs of one step; the server counts them at once, and not at its leisure."""
    spec = parse(ECHO)
    with database.platform() as tx:
        submit_all(tx, [Birth(tenant_id=tenant, job_id=new_job_id(), spec=spec, fired=None) for _ in range(jobs)])
        tx.sql("SELECT pg_stat_force_next_flush()")
    with database.platform_read() as tx:
        tx.sql("SELECT 1")


def known_steps(database: Database) -> float:
    """How many steps the planner knows of; -1 where it has heard of none."""
    with database.platform_read() as tx:
        rows: float = tx.sql("SELECT reltuples FROM pg_class WHERE oid = 'steps'::regclass").scalar_one()
    return rows


@pytest.fixture
def counting(database: Database) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=count, args=(database, stop))
    thread.start()
    yield
    stop.set()
    thread.join()


def test_tables_that_have_grown_are_analyzed_once(database: Database, tenant: TenantId) -> None:
    submit_many(database, tenant, MANY)
    assert {"jobs", "steps", "events"} <= set(until(lambda: analyze_grown(database)))
    assert known_steps(database) == MANY
    submit_many(database, tenant, MANY)
    assert "steps" not in analyze_grown(database)


def test_tables_of_few_rows_are_left_to_autovacuum(database: Database, tenant: TenantId) -> None:
    submit_many(database, tenant, ROWS)
    assert not analyze_grown(database)
    assert known_steps(database) == -1


def test_it_is_done_while_there_is_work(database: Database, tenant: TenantId, counting: None) -> None:
    submit_many(database, tenant, MANY)
    assert until(lambda: known_steps(database) == MANY)
