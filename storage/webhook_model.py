"""What webhook endpoints and deliveries look like to the rest of the code. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from storage.ids import is_id, new_id
from storage.model import JobId, Json, TenantId
from storage.sealing import Sealed

EndpointId = NewType("EndpointId", str)
DeliveryId = NewType("DeliveryId", str)

WEBHOOKS_CHANNEL = "millrace_webhooks"  # payload: the tenant's id; something is to be delivered


def new_endpoint_id() -> EndpointId:
    return EndpointId(new_id("whe"))


def new_delivery_id() -> DeliveryId:
    return DeliveryId(new_id("dlv"))


def is_endpoint_id(text: str) -> bool:
    """Whether the text is the canonical spelling of an endpoint's id."""
    return is_id(text, "whe")


def is_delivery_id(text: str) -> bool:
    """Whether the text is the canonical spelling of a delivery's id."""
    return is_id(text, "dlv")


class EventType(StrEnum):
    """What a webhook can tell of."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    JOB_EXPIRED = "job.expired"
    STEP_SUCCEEDED = "step.succeeded"
    BATCH_FINISHED = "batch.finished"  # the last job of a batch has ended
    WEBHOOK_DISABLED = "webhook.disabled"  # another endpoint of the tenant has failed for days
    WEBHOOK_TEST = "webhook.test"  # never asked for: POST …/test sends it


ENDS = (EventType.JOB_SUCCEEDED, EventType.JOB_FAILED, EventType.JOB_CANCELED, EventType.JOB_EXPIRED)
OF_JOBS = (*ENDS, EventType.STEP_SUCCEEDED)  # what a job's `notify` can ask for
OF_ENDPOINTS = (*OF_JOBS, EventType.BATCH_FINISHED, EventType.WEBHOOK_DISABLED)


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # every try has failed
    CANCELED = "canceled"  # its endpoint was disabled


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEndpoint:
    """What is told of events, and where: without a `url` a developer listens, for `listening_seconds` at first.

    `sealed` are its signing secrets (storage.webhooks.seal). With a `disabled_reason` it begins disabled.
    """

    id: EndpointId
    url: str | None
    types: Sequence[EventType]
    description: str = ""
    ed25519: bool = False
    sealed: Sealed | None = None
    disabled_reason: str | None = None
    listening_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A webhook as it stands: `failing_since` is its first failure since `delivered_at`, its last success."""

    tenant_id: TenantId
    id: EndpointId
    url: str | None
    description: str
    types: Sequence[EventType]
    ed25519: bool
    sealed: Sealed | None
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    delivered_at: datetime | None
    listening_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningSecret:
    """`whsec_…`, and until when it signs; None: it is the current one."""

    secret: str
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningSecrets:
    """What signs an endpoint's messages: the newest secret first, and the key of a pair (`whsk_…`), if it has one."""

    secrets: Sequence[SigningSecret]
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One try at a delivery: what was answered, or why there was no answer."""

    at: datetime
    status: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message on its way to one place. `data` is the event's; `body` what is sent, once it has been tried.

    Without an `endpoint_id` it goes to the `notify` of its job, at `url`. `next_at` is null once it has ended.
    """

    tenant_id: TenantId
    id: DeliveryId
    endpoint_id: EndpointId | None
    url: str | None
    lane: str
    type: EventType
    message_id: str
    job_id: JobId | None
    data: Json
    happened_at: datetime
    state: DeliveryState
    next_at: datetime | None
    tries: int
    log: Sequence[Try]
    body: str | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that is tried now by whoever holds its newest `claim`; `endpoint` is None for a job's `notify`.

    `body_bytes`: the size of what is sent, if it has been kept, whether or not the delivery comes with it.
    """

    delivery: Delivery
    claim: int
    endpoint: Endpoint | None
    body_bytes: int | None

    @property
    def url(self) -> str:
        """Where it goes; empty for a listener."""
        return (self.delivery.url if self.endpoint is None else self.endpoint.url) or ""
