"""Who did what, as frozen dataclasses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.client.answers import Document, Paged, understood


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What changed something, such as `job.cancel`; `target` is an id or a name, `via` is key or session.

    `by` is the operator's tenant, if an operator acted for you: their `key`, the beginning of it, and `address` are
    None unless the key that asks has the scope `operate:read`.
    """

    id: str
    at: datetime
    action: str
    target: str | None
    via: str
    key: str | None
    by: str | None
    address: str | None
    request_id: str | None
    detail: Document
    raw: Document = field(repr=False, default_factory=dict)


class Audit:
    """What was done in the tenant's name, by its keys and by operators. What only reads is not written down."""

    def __init__(self, paged: Paged) -> None:
        self._paged = paged

    def all(self, action: str | None = None, limit: int | None = None) -> Iterator[Action]:
        """Actions, newest first; only those of a noun, `job`, or one of them, `job.cancel`; at most `limit`."""
        yield from self._paged("/v1/audit", {} if action is None else {"action": action}, limit, _page)


def _page(document: Any) -> tuple[list[Action], str | None]:
    return understood(lambda it: ([_action(one) for one in it["data"]], it["next_cursor"]), document)


def _action(it: Any) -> Action:
    return Action(
        id=it["id"],
        at=datetime.fromisoformat(it["at"]),
        action=it["action"],
        target=it["target"],
        via=it["via"],
        key=it["key"] and it["key"]["hint"],
        by=it["by"],
        address=it["address"],
        request_id=it["request_id"],
        detail=it["detail"],
        raw=it,
    )
