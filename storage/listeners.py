"""Developers who listen: endpoints without a URL that are there for a minute at a time, and what is told to them.

A listener that loses its connection can come back within that minute and misses nothing: what was sent after the last
message that it saw is sent again. The newest stream of a listener is the only one that is sent anything.
"""

from collections.abc import Sequence

from storage import delivering, webhooks
from storage.database import PlatformTx, Tx
from storage.webhook_model import Claimed, DeliveryId, Endpoint, EndpointId, EventType, NewEndpoint, new_endpoint_id

SECONDS = 60.0  # without a sign of life
MOST = 10  # of one tenant: every event is written once for each
LEASE_SECONDS = 60.0  # only as long as the transaction that takes a delivery and marks it

# `updated_at` says which stream is the newest: nothing but opening one changes it.
_RENEW = """
UPDATE webhook_endpoints SET listening_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND id = %(listener)s AND updated_at = %(opened_at)s
  AND listening_until > clock_timestamp()
RETURNING *
"""

_COME_BACK = """
UPDATE webhook_endpoints
SET listening_until = clock_timestamp() + make_interval(secs => %(seconds)s), types = %(types)s::text[],
    updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND listening_until > clock_timestamp()
  AND id = coalesce((SELECT endpoint_id FROM deliveries WHERE tenant_id = %(tenant)s AND id = %(seen)s), %(seen)s)
RETURNING *
"""

# Deliveries are marked one after the other, in the order in which they are sent.
_SEND_AGAIN = """
UPDATE deliveries SET state = 'pending', next_at = happened_at, ended_at = NULL, claim = claim + 1
WHERE tenant_id = %(tenant)s AND endpoint_id = %(listener)s AND state = 'delivered' AND ended_at > coalesce(
  (SELECT ended_at FROM deliveries WHERE tenant_id = %(tenant)s AND id = %(seen)s), '-infinity'::timestamptz
)
"""

_COUNT = """
SELECT count(*) FROM webhook_endpoints WHERE tenant_id = %(tenant)s AND listening_until > clock_timestamp()
"""


def begin(tx: Tx, types: Sequence[EventType]) -> Endpoint:
    """A new listener: it is told what happens from the commit on."""
    return webhooks.insert(tx, NewEndpoint(id=new_endpoint_id(), url=None, types=types, listening_seconds=SECONDS))


def count(tx: Tx) -> int:
    """How many listeners the tenant has, those who went away within the last minute too."""
    return int(tx.sql(_COUNT).scalar_one())


def come_back(tx: Tx, seen: EndpointId | DeliveryId, types: Sequence[EventType]) -> Endpoint | None:
    """The listener that saw this delivery last, or by its own id none yet; what it has not seen is pending again.

    None if it was away for too long: what has happened since was not written for it.
    """
    row = tx.sql(_COME_BACK, seen=seen, types=list(types), seconds=SECONDS).one_or_none()
    if row is None:
        return None
    tx.sql(_SEND_AGAIN, listener=row.id, seen=seen)
    return webhooks.endpoint_of(row)


def take(tx: Tx, listener: Endpoint, *, limit: int) -> list[Claimed] | None:
    """The oldest of what is to be sent, at most `limit`; a sign of life, too. Mark each as delivered, in this order.

    None if nobody is to be sent anything: another stream has taken over, or there was no sign of life for too long.
    """
    given = {"listener": listener.id, "opened_at": listener.updated_at, "seconds": SECONDS}
    row = tx.sql(_RENEW, **given).one_or_none()
    if row is None:
        return None
    return delivering.take_of(tx, listener, limit=limit, lease_seconds=LEASE_SECONDS)


def forget_old(tx: PlatformTx, limit: int) -> int:
    """Delete at most `limit` listeners that have been gone for a while, with what was for them; returns how many."""
    # Not at once: a transaction that began while one listened may still be writing a delivery for it.
    return webhooks.forget_listeners(tx, older_than_seconds=SECONDS, limit=limit)
