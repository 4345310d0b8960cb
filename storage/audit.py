"""Who did what: a row for each action of a person or a program that changed something, in the transaction of it.

No row holds what was changed to: that may be a secret.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import PlatformTx, Tx
from storage.ids import is_id, new_id
from storage.model import Json, KeyId, Principal

_INSERT = """
INSERT INTO audit (tenant_id, id, key_id, via, action, target, detail, request_id, address)
VALUES (%(tenant)s, %(id)s, %(key)s, %(via)s, %(action)s, %(target)s, %(detail)s, %(request)s, %(address)s)
"""

_PAGE = """
SELECT audit.*, api_keys.hint, CASE WHEN api_keys.tenant_id <> audit.tenant_id THEN tenants.name END AS by
FROM audit
LEFT JOIN api_keys ON api_keys.id = audit.key_id
LEFT JOIN tenants ON tenants.id = api_keys.tenant_id
WHERE audit.tenant_id = %(tenant)s
  AND (%(before)s::text IS NULL OR audit.id < %(before)s)
  AND (%(action)s::text IS NULL OR audit.action = %(action)s OR split_part(audit.action, '.', 1) = %(action)s)
ORDER BY audit.id DESC LIMIT %(limit)s
"""

_FORGET = """
DELETE FROM audit WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM audit WHERE at < now() - make_interval(secs => %(seconds)s) LIMIT %(limit)s
))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One action. `hint` is the key's first characters; `by` the tenant whose key it is, if that is another one."""

    id: str
    at: datetime
    key_id: KeyId
    hint: str | None
    by: str | None
    via: str
    action: str
    target: str | None
    detail: Json
    request_id: str | None
    address: str | None


def note(
    tx: Tx, who: Principal, action: str, target: str | None = None, detail: Mapping[str, Json] | None = None
) -> None:
    """Write down that they did it, for the tenant whose transaction it is; `detail` holds nothing that is secret."""
    tx.sql(
        _INSERT,
        id=new_id("aud"),
        key=who.key_id,
        via=who.via,
        action=action,
        target=target,
        detail=json.dumps(detail or {}),
        request=who.request_id,
        address=who.address,
    )


def note_work(tx: Tx, who: Principal, action: str, target: str) -> None:
    """The same of what programs do all day with a key of their own, which needs no second row for each job."""
    if is_kept(who):
        note(tx, who, action, target)


def is_kept(who: Principal) -> bool:
    """Whether `note_work` writes down what they do."""
    return who.via != "key" or who.acting is not None


def page(tx: Tx, *, action: str | None, before: str | None, limit: int) -> Sequence[Entry]:
    """At most `limit` actions in the tenant's name, newest first, from below `before`; `action`: one, or its noun."""
    return [
        Entry(
            id=row.id,
            at=row.at,
            key_id=KeyId(row.key_id),
            hint=row.hint,
            by=row.by,
            via=row.via,
            action=row.action,
            target=row.target,
            detail=row.detail,
            request_id=row.request_id,
            address=row.address,
        )
        for row in tx.sql(_PAGE, action=action, before=before, limit=limit)
    ]


def forget_old(tx: PlatformTx, *, older_than_seconds: float, limit: int) -> int:
    """Delete up to `limit` actions that are older; returns how many."""
    return int(tx.sql(_FORGET, seconds=older_than_seconds, limit=limit).rowcount)


def is_entry_id(text: str) -> bool:
    """Whether the text is the id of an action."""
    return is_id(text, "aud")
