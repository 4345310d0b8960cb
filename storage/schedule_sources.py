"""Schedules that a source applies again and again: a file, installed kinds, an import from Celery beat."""

from collections.abc import Collection

from storage.database import PlatformTx, Tx
from storage.model import TenantId
from storage.schedule_model import Schedule
from storage.schedules import schedule_of


def of_source(tx: Tx, source: str) -> list[Schedule]:
    """The tenant's schedules that this source has applied."""
    rows = tx.sql("SELECT * FROM schedules WHERE tenant_id = %(tenant)s AND source = %(source)s", source=source)
    return [schedule_of(row) for row in rows]


def tenants_of(tx: PlatformTx, source: str, names: Collection[str] | None) -> list[tuple[TenantId, str]]:
    """Those who have schedules that this source has applied, of these names if any are given: ids and names."""
    rows = tx.sql(
        "SELECT id, name FROM tenants t WHERE (%(names)s::text[] IS NULL OR name = ANY(%(names)s::text[])) AND EXISTS"
        " (SELECT FROM schedules s WHERE s.tenant_id = t.id AND s.source = %(source)s)",
        source=source,
        names=None if names is None else list(names),
    )
    return [(TenantId(row.id), row.name) for row in rows]


def lock(tx: PlatformTx) -> None:
    """Wait until nobody else applies schedules of a source, and have others wait until the commit."""
    tx.sql("SELECT pg_advisory_xact_lock(hashtext('millrace schedules applied'))")
