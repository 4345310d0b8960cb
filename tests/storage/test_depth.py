"""That nothing on a job's path, no loop and no page reads a large table as a whole, on tables that hold something."""

import pytest

from storage.database import Database
from storage.model import TenantId
from storage.tenants import ensure
from tests.bench.depth import fill as filling
from tests.bench.depth import statements

# By which index each is to be answered, where more than one might do.
INDEXES = {
    "relay: take_to_publish 250": "ix_steps_to_publish",
    "relay: take_lone": "ix_steps_published",
    "relay: room": "ix_steps_to_publish",
    "relay: due": "ix_steps_due",
    "relay: old hints": "ix_steps_published",
    "relay: unpublish": "ix_steps_published",
    "reaper: expired_leases": "ix_steps_leased",
    "reaper: overdue": "ix_jobs_deadline",
    "worker: all_held": "ix_steps_leased",
    "claim 20": "pk_jobs",
    "claim and finish 20": "pk_steps",
    "retention: 100 jobs": "ix_jobs_finished",
    "list: no filter": "pk_jobs",
    "list: succeeded": "ix_jobs_tenant_id_state_id",
    "list: failed": "ix_jobs_tenant_id_state_id",
    "list: failed, of a batch": "ix_jobs_of_batch",
    "dead letters: of a kind": "ix_steps_dead",
    "counts": "ix_steps_published",
    "live view: at work": "ix_steps_leased",
}
# What reads a table as a whole here: by hand, or after a loss of the broker; or may look through more than these hold.
WHOLE = {
    "counter: correct (by hand)",
    "relay: unpublish_all",
    "replay: matching_jobs",
    "list: of a batch",
    "list: made in a second",
}


FEW = 100  # blocks, of the 244 that the steps of the test of one deep queue take


@pytest.fixture
def filled(database: Database, database_url: str, tenant: TenantId) -> TenantId:
    """A tenant with most of 20,000 jobs that have ended and 4,000 that wait."""
    with database.platform() as tx:
        others = [ensure(tx, name) for name in ("second", "third")]
    filling.fill(database_url, [tenant, *others], finished=20_000, queued=4_000)
    return tenant


def test_every_statement_has_its_index_on_tables_filled_as_the_platform_would(
    database: Database, filled: TenantId
) -> None:
    with database.platform_read() as tx:
        assert tx.sql(_CONTRADICTIONS).all() == []
    seen = {name: statements.explained(database, act) for name, act in statements.acts(filled) if name not in WHOLE}
    assert {name: one.whole for name, one in seen.items() if one.whole} == {}
    assert {name: index for name, index in INDEXES.items() if index not in seen[name].indexes} == {}


def test_a_table_full_of_one_queue_is_not_read_for_those_that_are_empty(
    database: Database, database_url: str, tenant: TenantId
) -> None:
    # As after a flood: the planner then takes each queue to be as deep as the only one that it knows.
    with database.platform() as tx:
        others = [ensure(tx, name) for name in ("second", "third")]
    filling.fill(database_url, [tenant, *others], finished=0, queued=6_000, shape="echo")
    seen = {name: statements.explained(database, act) for name, act in statements.acts(tenant) if name not in WHOLE}
    assert {name: one.blocks for name, one in seen.items() if "steps" in one.whole and one.blocks > FEW} == {}


# Jobs whose numbers are not those of their steps, attempts and events.
_CONTRADICTIONS = """
SELECT j.id, j.state FROM jobs j JOIN (
  SELECT tenant_id, job_id, count(*) AS steps, count(*) FILTER (WHERE finished_at IS NULL) AS open,
         count(*) FILTER (WHERE finished_at IS NOT NULL AND state <> 'succeeded') AS unmet,
         sum(attempt) AS attempts
  FROM steps GROUP BY 1, 2
) AS s ON s.tenant_id = j.tenant_id AND s.job_id = j.id
WHERE (j.steps_total, j.steps_open, j.steps_unmet) <> (s.steps, s.open, s.unmet)
   OR j.event_seq <> (SELECT max(seq) FROM events e WHERE e.tenant_id = j.tenant_id AND e.job_id = j.id)
   OR s.attempts <> (SELECT count(*) FROM attempts a JOIN steps t ON t.tenant_id = a.tenant_id AND t.id = a.step_id
                     WHERE t.tenant_id = j.tenant_id AND t.job_id = j.id)
LIMIT 3
"""
