"""The API's documents about webhooks as frozen dataclasses, and `Millrace.webhooks`, which asks for them."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from api.client.answers import Document, Paged, time, understood
from api.client.connection import Connection
from api.client.failures import MillraceError
from api.client.webhook_listening import News, listen

EVENTS = (
    *("job.succeeded", "job.failed", "job.canceled", "job.expired"),
    *("step.succeeded", "batch.finished", "webhook.disabled"),
)
State = Literal["pending", "delivered", "failed", "canceled"]
STATES: tuple[State, ...] = ("pending", "delivered", "failed", "canceled")
Again = Literal["failed", "canceled", "delivered", "any"]
AGAIN: tuple[Again, ...] = ("failed", "canceled", "delivered", "any")

_ASKABLE = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """A webhook as it stands. `secret` is what signs its messages: known only of one that has just been made."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    delivered_at: datetime | None
    ed25519: bool
    public_key: str | None
    created_at: datetime
    updated_at: datetime
    secret: str | None = field(repr=False, default=None)
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotated:
    """The new secret of a webhook; the one before signs as well until `old_until`, None if it is dropped."""

    secret: str = field(repr=False)
    old_until: datetime | None
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One try at a delivery: the HTTP status of the answer, or why there was none."""

    at: datetime
    status: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message on its way to a webhook, or, with a `url`, to what its job's `notify` says.

    `next_at` is None once it has ended; `log` has the last tries, oldest first; `payload` is what is sent, None in
    listings and until it has been tried.
    """

    id: str
    type: str
    message_id: str
    webhook: str | None
    url: str | None
    state: str
    job: str | None
    happened_at: datetime
    next_at: datetime | None
    tries: int
    log: tuple[Try, ...]
    ended_at: datetime | None
    payload: Any = field(repr=False, default=None)
    raw: Document = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Redelivered:
    """How many messages are sent again; `more`: there are others, ask again for them."""

    redelivering: int
    more: bool
    raw: Document = field(repr=False, default_factory=dict)


class Webhooks:
    """What a client does with webhooks, which are named by their id."""

    def __init__(self, connection: Connection, paged: Paged) -> None:
        self._connection = connection
        self._paged = paged

    def create(
        self,
        url: str,
        events: Sequence[str] | None = None,
        *,
        description: str = "",
        ed25519: bool = False,
        enabled: bool = True,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> Webhook:
        """Have events posted to `url`, by default how jobs end; `secret` is your own, default: one is made.

        Keep the answer's `secret`, it is not shown again. Tried again as `Millrace.submit` is. Raises ApiError with
        code invalid_request, too_many_webhooks, secret_key_missing.
        """
        wish: dict[str, Any] = {"url": url, "description": description, "ed25519": ed25519, "enabled": enabled}
        wish |= {} if events is None else {"events": list(events)}
        wish |= {} if secret is None else {"secret": secret}
        return webhook(self._connection.post("/v1/webhooks", _json(wish), _key(idempotency_key)))

    def list(self) -> Sequence[Webhook]:
        """All your webhooks, newest first."""
        return understood(lambda it: [_webhook(one) for one in it["data"]], self._connection.get("/v1/webhooks"))

    def get(self, webhook_id: str) -> Webhook:
        """The webhook as it stands."""
        return webhook(self._connection.get(_path(webhook_id)))

    def update(self, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        """Change url, events, description or enabled, by a JSON merge patch: None sets one back to its default.

        `{"enabled": True}` lets one go on that was disabled.
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        return webhook(self._connection.patch(_path(webhook_id), _json(changes), headers))

    def delete(self, webhook_id: str) -> None:
        """Delete it with all that was, or is to be, delivered to it."""
        self._connection.delete(_path(webhook_id))

    def rotate(
        self, webhook_id: str, *, expire_old_after: float | None = None, idempotency_key: str | None = None
    ) -> Rotated:
        """Have another secret; the one before signs as well for so many seconds, by default for a day."""
        wish = {} if expire_old_after is None else {"expire_old_after_seconds": expire_old_after}
        answer = self._connection.post(f"{_path(webhook_id)}/rotate-secret", _json(wish), _key(idempotency_key))
        return understood(lambda it: Rotated(secret=it["secret"], old_until=time(it["old_until"]), raw=it), answer)

    def test(self, webhook_id: str, *, idempotency_key: str | None = None) -> Delivery:
        """Send it a message of type webhook.test; see what became of it with `delivery`."""
        return delivery(self._connection.post(f"{_path(webhook_id)}/test", headers=_key(idempotency_key)))

    def deliveries(self, webhook_id: str, state: State | None = None, limit: int | None = None) -> Iterator[Delivery]:
        """What is and was delivered to it, newest first; only in `state`, at most `limit`, default all that is kept.

        Here, and for one delivery, the id of a job does as well: what tells of it, to its own `notify` too.
        """
        chosen = {} if state is None else {"state": state}
        yield from self._paged(_deliveries_path(webhook_id), chosen, limit, deliveries)

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """One delivery, with its payload."""
        return delivery(self._connection.get(_delivery_path(webhook_id, delivery_id)))

    def of_job(self, job_id: str, limit: int | None = None) -> Iterator[Delivery]:
        """What is and was delivered of a job, to webhooks and to its own `notify`, newest first."""
        if not _ASKABLE.fullmatch(job_id):
            raise MillraceError(f"{job_id!r} is not the id of a job; they begin with job_")
        yield from self._paged(f"/v1/jobs/{job_id}/deliveries", {}, limit, deliveries)

    def redeliver(self, webhook_id: str, delivery_id: str, *, idempotency_key: str | None = None) -> Delivery:
        """Send one message again, whatever became of it, under the same webhook-id."""
        path = f"{_delivery_path(webhook_id, delivery_id)}/redeliver"
        return delivery(self._connection.post(path, headers=_key(idempotency_key)))

    def redeliver_since(
        self,
        webhook_id: str,
        since: datetime | str,
        state: Again | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Redelivered:
        """Send what happened since a time again, by default what failed or was canceled; times need an offset."""
        wish = {"since": since if isinstance(since, str) else since.isoformat()}
        wish |= {} if state is None else {"state": state}
        answer = self._connection.post(f"{_path(webhook_id)}/redeliver", _json(wish), _key(idempotency_key))
        return understood(
            lambda it: Redelivered(redelivering=it["redelivering"], more=bool(it["more"]), raw=it), answer
        )

    def listen(self, events: Sequence[str] | None = None) -> Iterator[News]:
        """What a webhook would be sent from now on, by default how jobs end, without an end; see webhook_listening."""
        yield from listen(self._connection, events)

    def signing_secrets(self) -> tuple[str, ...]:
        """What signs the messages of `notify` and of `millrace listen`, newest first; try each of them."""
        return understood(lambda it: tuple(it["secrets"]), self._connection.get("/v1/webhooks/signing-secret"))


def webhook(document: Any) -> Webhook:
    """Read a webhook's document. Raises MillraceError where it is none."""
    return understood(_webhook, document)


def delivery(document: Any) -> Delivery:
    """Read a delivery's document. Raises MillraceError where it is none."""
    return understood(_delivery, document)


def deliveries(document: Any) -> tuple[Sequence[Delivery], str | None]:
    """Read a page of deliveries and the cursor of the next one. Raises MillraceError where it is none."""
    return understood(lambda it: ([_delivery(one) for one in it["data"]], it["next_cursor"]), document)


def _webhook(it: Document) -> Webhook:
    return Webhook(
        id=it["id"],
        url=it["url"],
        events=tuple(it["events"]),
        description=it["description"],
        enabled=it["enabled"],
        disabled_at=time(it["disabled_at"]),
        disabled_reason=it["disabled_reason"],
        failing_since=time(it["failing_since"]),
        delivered_at=time(it["delivered_at"]),
        ed25519=it["ed25519"],
        public_key=it["public_key"],
        created_at=datetime.fromisoformat(it["created_at"]),
        updated_at=datetime.fromisoformat(it["updated_at"]),
        secret=it.get("secret"),
        raw=it,
    )


def _delivery(it: Document) -> Delivery:
    return Delivery(
        id=it["id"],
        type=it["type"],
        message_id=it["message_id"],
        webhook=it["webhook"],
        url=it["url"],
        state=it["state"],
        job=it["job"],
        happened_at=datetime.fromisoformat(it["happened_at"]),
        next_at=time(it["next_at"]),
        tries=it["tries"],
        log=tuple(
            Try(at=datetime.fromisoformat(one["at"]), status=one["status"], error=one["error"], seconds=one["seconds"])
            for one in it["log"]
        ),
        ended_at=time(it["ended_at"]),
        payload=it.get("payload"),
        raw=it,
    )


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(document), allow_nan=False).encode()


def _key(given: str | None) -> Mapping[str, str]:
    return {"Idempotency-Key": given or secrets.token_urlsafe(24)}


def _path(webhook_id: str) -> str:
    if not _ASKABLE.fullmatch(webhook_id):
        raise MillraceError(f"{webhook_id!r} is not the id of a webhook; they begin with whe_")
    return f"/v1/webhooks/{webhook_id}"


def _delivery_path(webhook_id: str, delivery_id: str) -> str:
    if not _ASKABLE.fullmatch(delivery_id):
        raise MillraceError(f"{delivery_id!r} is not the id of a delivery; they begin with dlv_")
    return f"{_deliveries_path(webhook_id)}/{delivery_id}"


def _deliveries_path(owner_id: str) -> str:
    """Of a webhook's deliveries, or of a job's."""
    path = _path(owner_id)
    return f"/v1/jobs/{owner_id}/deliveries" if owner_id.startswith("job_") else f"{path}/deliveries"
