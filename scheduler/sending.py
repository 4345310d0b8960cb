"""One try at a delivery: what is sent is stored first, then signed and posted; what became of it is written down."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from storage import deliveries, delivering, jobs, webhooks
from storage.database import Database, Tx
from storage.errors import SecretUnreadable
from storage.model import Job
from storage.sealing import Keyring
from storage.webhook_model import Claimed, Endpoint, Try
from tasks import delivery as rules
from tasks import signatures
from tasks.errors import OutboundFailed, OutboundRefused, OutboundTooLarge
from tasks.outbound_model import Answer, Asked, Receive, Timeouts
from tasks.signatures import Signing

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUTS = Timeouts(connect=5.0, read=15.0, total=20.0)
MOST_BYTES = 1_000_000  # of an answer, which nobody reads
HEADERS = {"content-type": "application/json", "user-agent": "Millrace"}

LONG_SECONDS = 5 * 86_400.0  # an endpoint that has only failed for that long,
MANY_FAILURES = 10  # and that often, is disabled


class Outgoing(Protocol):
    """What of tasks.outbound.Outbound is used here, and what its like in tests must have."""

    async def exchange(self, asked: Asked, receive: Receive, *, most_bytes: int) -> Answer: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a receiver said: `status` is None if it did not answer, and `error` why, or why its answer is none.

    For `wish_seconds` it wants to be left alone.
    """

    status: int | None
    error: str | None
    seconds: float
    wish_seconds: float = 0.0

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and rules.is_delivered(self.status)


class Sender:
    """Sends deliveries that are claimed; the database is asked in threads of `executor`."""

    def __init__(
        self, database: Database, keyring: Keyring, outbound: Outgoing, executor: Executor, public_url: str
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._outbound = outbound
        self._executor = executor
        self._public_url = public_url

    async def send(self, claimed: Claimed) -> Said | None:
        """Try once; None if the delivery is not ours any more. Raises DatabaseUnavailable: its lease brings it back."""
        body = await self._blocking(lambda: self._body(claimed))
        if body is None:
            return None
        said = await self._post(claimed, body.encode())
        await self._blocking(lambda: self._record(claimed, said))
        return said

    async def _post(self, claimed: Claimed, body: bytes) -> Said:
        began = time.monotonic()
        try:
            now = datetime.now(UTC)
            signed = signatures.headers(self._signing(claimed, now), claimed.delivery.message_id, now, body)
            asked = Asked(
                method="POST",
                url=claimed.url,
                headers={**HEADERS, **signed},
                body=body,
                timeouts=TIMEOUTS,
                redirects=0,
            )
            answer = await self._outbound.exchange(asked, lambda _: None, most_bytes=MOST_BYTES)
        except (OutboundRefused, OutboundFailed, OutboundTooLarge) as exc:
            return Said(status=None, error=exc.message, seconds=time.monotonic() - began)
        except (SecretUnreadable, ValueError) as exc:
            log.error("deliver.unsigned delivery=%s reason=%s", claimed.delivery.id, exc)
            return Said(status=None, error="the platform cannot sign it", seconds=time.monotonic() - began)
        return _said(answer, time.monotonic() - began)

    def _body(self, claimed: Claimed) -> str | None:
        """What is sent: the same at every try, since it is stored before the first. None if it is not ours."""
        delivery = claimed.delivery
        if delivery.body is not None:
            return delivery.body
        job: Job | None = None
        if delivery.job_id is not None:
            with self._database.snapshot(delivery.tenant_id) as tx:
                job = jobs.find(tx, delivery.job_id)
        with self._database.read(delivery.tenant_id) as tx:
            return delivering.keep_body(tx, claimed, rules.body_of(delivery, job, self._public_url))

    def _signing(self, claimed: Claimed, now: datetime) -> Signing:
        if claimed.endpoint is None:
            return signatures.tenant_signing(self._keyring, claimed.delivery.tenant_id)
        found = webhooks.opened(self._keyring, claimed.endpoint, now=now)
        return Signing(
            secrets=[one.secret for one in found.secrets],
            ed25519=[found.key] if claimed.endpoint.ed25519 and found.key is not None else [],
        )

    def _record(self, claimed: Claimed, said: Said) -> None:
        tried = Try(at=datetime.now(UTC), status=said.status, error=said.error, seconds=round(said.seconds, 3))
        with self._database.begin(claimed.delivery.tenant_id) as tx:
            if said.is_delivered:
                delivering.delivered(tx, claimed, tried)
                return
            gone = said.status == rules.GONE
            again = None
            if not gone:
                again = rules.seconds_to_next_try(claimed.delivery.tries + 1, wish_seconds=said.wish_seconds)
            if delivering.failed(tx, claimed, tried, again_in_seconds=again) and claimed.endpoint is not None:
                _judge(tx, claimed.endpoint, gone=gone)
        told = said.error if said.status is None else said.status
        log.info("deliver.failed delivery=%s tries=%s said=%s", claimed.delivery.id, claimed.delivery.tries + 1, told)

    def _blocking(self, act: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, act)


def _judge(tx: Tx, endpoint: Endpoint, *, gone: bool) -> None:
    """Disable an endpoint that wants nothing any more, or has only failed for days, and tell the tenant's others."""
    is_hopeless = delivering.note_failure(tx, endpoint.id, long_seconds=LONG_SECONDS, many=MANY_FAILURES)
    if not gone and not is_hopeless:
        return
    found = webhooks.lock(tx, endpoint.id)
    if found is None or found.disabled_at is not None:  # another try was quicker
        return
    days = round(LONG_SECONDS / 86_400)
    reason = "it answered 410 Gone" if gone else f"every delivery has failed for {days} days"
    webhooks.disable(tx, endpoint.id, reason)
    deliveries.insert_disabled(tx, endpoint.id, reason)
    log.warning("webhook.disabled tenant=%s webhook=%s reason=%s", tx.tenant_id, endpoint.id, reason)


def _said(answer: Answer, seconds: float) -> Said:
    error = None
    if 300 <= answer.status < 400:
        error = "it answered with a redirect, which is not followed"
    elif not rules.is_delivered(answer.status):
        error = f"it answered {answer.status}"
    return Said(
        status=answer.status,
        error=error,
        seconds=seconds,
        wish_seconds=rules.wish_seconds(answer.status, answer.headers.get("retry-after"), now=datetime.now(UTC)),
    )
