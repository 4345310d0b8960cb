"""The sweeper against a real database."""

from scheduler.sweep import BATCH, sweep_old
from storage import idempotency
from storage.database import Database
from storage.model import TenantId


def test_old_idempotency_keys_are_swept_out(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        for number in range(BATCH + 5):
            idempotency.reserve(tx, f"k{number}", lock_seconds=60)
        tx.sql("UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE tenant_id = %(tenant)s")
        idempotency.reserve(tx, "young", lock_seconds=60)
    sweep_old(database, {})
    with database.platform() as tx:
        assert [row.key for row in tx.sql("SELECT key FROM idempotency")] == ["young"]
