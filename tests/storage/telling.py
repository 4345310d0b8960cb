"""Endpoints and messages to test with."""

from collections.abc import Sequence
from datetime import UTC, datetime

from storage import deliveries, delivering, steps, webhooks
from storage.database import Database
from storage.delivering import UnderWay
from storage.model import Job, TenantId
from storage.sealing import Keyring
from storage.webhook_model import (
    OF_ENDPOINTS,
    Claimed,
    DeliveryState,
    Endpoint,
    EndpointId,
    EventType,
    NewEndpoint,
    SigningSecret,
    SigningSecrets,
    Try,
    new_endpoint_id,
)
from tasks.signatures import new_secret
from tests.documents import taken

ENDS_WELL = (EventType.JOB_SUCCEEDED,)
RING = Keyring(["a key of thirty-two characters..."])


def endpoint_in(
    database: Database,
    tenant: TenantId,
    types: Sequence[EventType] = ENDS_WELL,
    *,
    url: str | None = "https://example.com/hook",
    listening_seconds: float | None = None,
) -> Endpoint:
    """An endpoint with a secret that RING has sealed; a listener if there is no URL."""
    endpoint_id = new_endpoint_id()
    signing = SigningSecrets(secrets=[SigningSecret(secret=new_secret(), until=None)])
    new = NewEndpoint(
        id=endpoint_id,
        url=url,
        types=types,
        sealed=webhooks.seal(RING, tenant, endpoint_id, signing),
        listening_seconds=listening_seconds,
    )
    with database.begin(tenant) as tx:
        return webhooks.insert(tx, new)


def ended(database: Database, tenant: TenantId, job: Job) -> None:
    """End a job of one step well."""
    claim = taken(database, tenant, job, job.steps[0].name)
    with database.begin(tenant) as tx:
        steps.succeed(tx, claim, {"said": "hello"})


def due(database: Database, under_way: UnderWay | None = None, *, limit: int = 100) -> list[Claimed]:
    """What a loop that delivers would try now."""
    with database.platform() as tx:
        return delivering.take_due(tx, under_way or UnderWay(), limit=limit, lease_seconds=60)


def tried(status: int | None = 500) -> Try:
    error = None if status is not None and status < 300 else "it did not work"
    return Try(at=datetime.now(UTC), status=status, error=error, seconds=0.5)


def make_due(database: Database) -> None:
    """Let all times pass that something waits for."""
    with database.platform() as tx:
        tx.sql("UPDATE deliveries SET next_at = clock_timestamp() - interval '1 second' WHERE state = 'pending'")
        tx.sql("SELECT pg_notify('millrace_webhooks', '')")


def states(database: Database, tenant: TenantId, endpoint_id: EndpointId) -> list[DeliveryState]:
    """What became of an endpoint's deliveries, newest first."""
    with database.read(tenant) as tx:
        return [one.state for one in deliveries.page(tx, endpoint_id, state=None, before=None, limit=1000)]


ALL = OF_ENDPOINTS
