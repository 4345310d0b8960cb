"""The documents about webhook endpoints and what is delivered to them, and how rows become them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator

from storage.webhook_model import Delivery, DeliveryState, Endpoint, EventType
from tasks.job_document import Document

MAX_URL = 2048
MAX_DESCRIPTION = 200
MAX_OLD_SECONDS = 7 * 86_400
OLD_SECONDS = 86_400  # for how long the secret before signs as well, if nobody says otherwise
WHSEC_PATTERN = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"

# Every type but webhook.test, which is sent when it is asked for.
Wanted = Literal[
    "job.succeeded", "job.failed", "job.canceled", "job.expired", "step.succeeded", "batch.finished", "webhook.disabled"
]  # fmt: skip
DEFAULT_EVENTS: tuple[Wanted, ...] = ("job.succeeded", "job.failed", "job.canceled", "job.expired")


def _whole(value: Any) -> Any:
    """JSON knows no whole numbers: 5.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class WebhookFields(Document):
    """What of a webhook can be changed."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL, description="https://…, where events are posted to.")]
    events: Annotated[
        list[Wanted],
        Field(
            min_length=1,
            max_length=20,
            default_factory=lambda: list(DEFAULT_EVENTS),
            json_schema_extra={"uniqueItems": True, "default": list(DEFAULT_EVENTS)},
            description="What it is told.",
        ),
    ]
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION, description="Yours.")] = ""
    enabled: Annotated[bool, Field(description="Whether anything is sent to it.")] = True

    @field_validator("events")
    @classmethod
    def _once_each(cls, events: list[Wanted]) -> list[Wanted]:
        if twice := [event for position, event in enumerate(events) if event in events[:position]]:
            raise ValueError(f"{twice[0]!r} stands there twice")
        return events


class WebhookRequest(WebhookFields):
    """Where events are posted to, which ones, and how they are signed."""

    ed25519: Annotated[
        bool, Field(description="Sign with a key pair as well, whose public half anybody may verify with.")
    ] = False
    secret: Annotated[
        str | None,
        Field(
            json_schema_extra={"pattern": WHSEC_PATTERN},
            description="Your own signing secret: whsec_ and base64 of 24 to 64 random bytes; default: one is made.",
        ),
    ] = None


class WebhookLinks(Document):
    """Where to go on from here."""

    self: str
    deliveries: str


class WebhookDocument(Document):
    """A webhook as it stands. Its secret is shown once, when it is made."""

    id: str
    url: str
    events: list[str]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: Annotated[datetime | None, Field(description="the first failure since the last success")]
    delivered_at: Annotated[datetime | None, Field(description="the last success")]
    ed25519: bool
    public_key: Annotated[str | None, Field(description="whpk_…, with ed25519")]
    created_at: datetime
    updated_at: datetime
    links: WebhookLinks


class MadeWebhook(WebhookDocument):
    """A webhook that has just been made, and the secret that signs what it is sent: it is not shown again."""

    secret: str


class WebhookPage(Document):
    """All your webhooks, newest first."""

    data: list[WebhookDocument]


class RotateRequest(Document):
    """For how long the secret before signs as well."""

    expire_old_after_seconds: Annotated[
        int,
        Field(ge=0, le=MAX_OLD_SECONDS, description="0: it is dropped at once; default: a day"),
        BeforeValidator(_whole),
    ] = OLD_SECONDS


class RotatedDocument(Document):
    """The new secret, which is not shown again, and until when the one before signs as well."""

    secret: str
    old_until: datetime | None


class SigningSecretDocument(Document):
    """What signs the messages of `notify` and of `millrace listen`: the newest first, any of them may be found."""

    secrets: list[str]


class TryDocument(Document):
    """One try at a delivery: what was answered, or why there was no answer."""

    at: datetime
    status: int | None
    error: str | None
    seconds: float


class DeliveryDocument(Document):
    """One message on its way to one place: a webhook, or the `notify` of its job, at `url`."""

    id: str
    type: EventType
    message_id: Annotated[str, Field(description="the header webhook-id of every try")]
    webhook: Annotated[str | None, Field(description="null: it goes to the job's `notify`")]
    url: Annotated[str | None, Field(description="of `notify`; null: to the webhook's")]
    state: DeliveryState
    job: str | None
    happened_at: datetime
    next_at: Annotated[datetime | None, Field(description="when it is tried next; null: it has ended")]
    tries: Annotated[int, Field(ge=0, description="since it was last told to go")]
    log: Annotated[list[TryDocument], Field(description="the last tries, oldest first")]
    ended_at: datetime | None


class WholeDelivery(DeliveryDocument):
    """A delivery with the body that is sent; null until it has been tried."""

    payload: Any


class DeliveryPage(Document):
    """Deliveries, newest first; `next_cursor` is null on the last page."""

    data: list[DeliveryDocument]
    next_cursor: str | None


Again = Literal["failed", "canceled", "delivered", "any"]
_NOT_TAKEN = (DeliveryState.FAILED, DeliveryState.CANCELED)
AGAIN: Mapping[Again | None, Sequence[DeliveryState]] = {
    None: _NOT_TAKEN,
    "failed": (DeliveryState.FAILED,),
    "canceled": (DeliveryState.CANCELED,),
    "delivered": (DeliveryState.DELIVERED,),
    "any": (*_NOT_TAKEN, DeliveryState.DELIVERED),
}


class RedeliverRequest(Document):
    """Which messages are sent again: those of events since a time, in a state."""

    since: AwareDatetime
    state: Annotated[Again | None, Field(description="only deliveries in this state; default: failed and canceled")] = (
        None
    )


class RedeliveredDocument(Document):
    """How many are sent again; `more`: there are others, ask again for them."""

    redelivering: int
    more: bool


def webhook_document(endpoint: Endpoint, public_key: str | None, public_url: str) -> WebhookDocument:
    """The webhook as it stands; links begin with `public_url`."""
    at = f"{public_url}/v1/webhooks/{endpoint.id}"
    return WebhookDocument(
        id=endpoint.id,
        url=endpoint.url or "",
        events=list(endpoint.types),
        description=endpoint.description,
        enabled=endpoint.disabled_at is None,
        disabled_at=endpoint.disabled_at,
        disabled_reason=endpoint.disabled_reason,
        failing_since=endpoint.failing_since,
        delivered_at=endpoint.delivered_at,
        ed25519=endpoint.ed25519,
        public_key=public_key,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        links=WebhookLinks(self=at, deliveries=f"{at}/deliveries"),
    )


def delivery_document(delivery: Delivery) -> DeliveryDocument:
    """The delivery without its body."""
    return DeliveryDocument(**_shown(delivery))


def whole_delivery(delivery: Delivery) -> WholeDelivery:
    """The delivery with its body, as JSON."""
    return WholeDelivery(**_shown(delivery), payload=None if delivery.body is None else json.loads(delivery.body))


def _shown(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "type": delivery.type,
        "message_id": delivery.message_id,
        "webhook": delivery.endpoint_id,
        "url": delivery.url,
        "state": delivery.state,
        "job": delivery.job_id,
        "happened_at": delivery.happened_at,
        "next_at": delivery.next_at,
        "tries": delivery.tries,
        "log": [
            TryDocument(at=one.at, status=one.status, error=one.error, seconds=one.seconds) for one in delivery.log
        ],
        "ended_at": delivery.ended_at,
    }
