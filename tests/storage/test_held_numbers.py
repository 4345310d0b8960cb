"""Steps that are put off in the numbers of their queue: however often they ask, each arrives once."""

import pytest

from storage import holds, runnable
from storage.database import Database
from storage.model import TenantId
from tests.storage.test_counts import fold, look, put


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_step_that_asks_again_and_again_arrives_once(database: Database, tenant: TenantId, is_folded: bool) -> None:
    job = put(database, tenant)
    for _ in range(30):
        with database.read(tenant) as tx:
            assert holds.hold(tx, job.id, job.steps[0].id, seconds=0, reason="busy")
        with database.platform() as platform_tx:
            assert runnable.make_due_queued(platform_tx, limit=10).steps == 1
        if is_folded:
            fold(database)
    found = look(database).load
    assert (found.runnable, found.scheduled) == (1, 0)
    assert found.arrivals_5m == pytest.approx(1 / 297.5, rel=0.02)


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_step_that_waits_for_its_turn_has_not_arrived(database: Database, tenant: TenantId, is_folded: bool) -> None:
    job = put(database, tenant)
    with database.platform() as platform_tx:
        platform_tx.sql("DELETE FROM step_flow")
        platform_tx.sql("UPDATE step_changes SET at = at - interval '6 minutes'")
    with database.read(tenant) as tx:
        assert holds.hold(tx, job.id, job.steps[0].id, seconds=60, reason="busy")
    if is_folded:
        fold(database)
    found = look(database).load
    assert (found.runnable, found.scheduled, found.arrivals_1m, found.arrivals_5m) == (0, 1, 0, 0)
