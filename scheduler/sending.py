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
from storage.model import Job, TenantId
from storage.sealing import Keyring
from storage.telemetry import trace_rows, trace_webhooks, traces
from storage.telemetry.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS
from storage.webhook_model import Claimed, Delivery, Endpoint, Try
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

LARGE_BYTES = 100_000  # of a body: of such a process has few in memory at a time,
LARGE_AT_ONCE = 4  # each of another tenant,
LARGE_AGAIN_SECONDS = 2.0  # and the others come back after that

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
        self._large: set[TenantId] = set()  # whose large bodies are under way

    async def send(self, claimed: Claimed) -> Said | None:
        """Try once; None if the delivery is not ours any more, or put off: it is large and others are as well.

        Raises DatabaseUnavailable: its lease brings it back.
        """
        body, size = None, claimed.body_bytes
        if size is None:
            body = await self._blocking(lambda: self._keep_body(claimed))
            if body is None:
                return None
            size = len(body)
        if size <= LARGE_BYTES:
            return await self._send(claimed, body)
        tenant = claimed.delivery.tenant_id
        if tenant in self._large or len(self._large) >= LARGE_AT_ONCE:
            body = None  # a thread for the next line may not be free at once
            await self._blocking(lambda: self._put_off(claimed))
            return None
        self._large.add(tenant)
        try:
            return await self._send(claimed, body)
        finally:
            self._large.discard(tenant)

    async def fail(self, claimed: Claimed) -> None:
        """Write down that the platform itself could not try it, which says nothing of the receiver."""
        said = Said(status=None, error="the platform could not send it", seconds=0.0)
        await self._blocking(lambda: self._record(claimed, said, judge=False))

    async def _send(self, claimed: Claimed, body: str | None) -> Said | None:
        if body is None:
            body = await self._blocking(lambda: self._body(claimed))
        if body is None:
            return None
        trace = await self._blocking(lambda: self._trace(claimed)) if traces.is_on() else None
        with trace_webhooks.trying(claimed, trace) as span:
            said = await self._post(claimed, body.encode())
            await self._blocking(lambda: self._record(claimed, said))
            trace_webhooks.told(span, status=said.status, is_delivered=said.is_delivered)
        return said

    def _trace(self, claimed: Claimed) -> str | None:
        if claimed.delivery.job_id is None:
            return None
        with self._database.read(claimed.delivery.tenant_id) as tx:
            return trace_rows.of_job(tx, claimed.delivery.job_id)

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
                whose=claimed.delivery.tenant_id,
            )
            answer = await self._outbound.exchange(asked, lambda _: None, most_bytes=MOST_BYTES)
        except (OutboundRefused, OutboundFailed, OutboundTooLarge) as exc:
            return Said(status=None, error=exc.message, seconds=time.monotonic() - began)
        except (SecretUnreadable, ValueError) as exc:
            log.error("deliver.unsigned delivery=%s reason=%s", claimed.delivery.id, exc)
            return Said(status=None, error="the platform cannot sign it", seconds=time.monotonic() - began)
        return _said(answer, time.monotonic() - began)

    def _body(self, claimed: Claimed) -> str | None:
        """What is sent: the same at every try. None if it is not ours."""
        with self._database.read(claimed.delivery.tenant_id) as tx:
            return delivering.body(tx, claimed)

    def _keep_body(self, claimed: Claimed) -> str | None:
        """Make and store it, before the first try. None if it is not ours."""
        delivery = claimed.delivery
        job: Job | None = None
        if delivery.job_id is not None:
            with self._database.snapshot(delivery.tenant_id) as tx:
                job = jobs.find_to_tell(tx, delivery.job_id)
        with self._database.read(delivery.tenant_id) as tx:
            return delivering.keep_body(tx, claimed, rules.body_of(delivery, job, self._public_url))

    def _put_off(self, claimed: Claimed) -> None:
        with self._database.read(claimed.delivery.tenant_id) as tx:
            delivering.give_back(tx, claimed, seconds=LARGE_AGAIN_SECONDS)

    def _signing(self, claimed: Claimed, now: datetime) -> Signing:
        if claimed.endpoint is None:
            return signatures.tenant_signing(self._keyring, claimed.delivery.tenant_id)
        found = webhooks.opened(self._keyring, claimed.endpoint, now=now)
        return Signing(
            secrets=[one.secret for one in found.secrets],
            ed25519=[found.key] if claimed.endpoint.ed25519 and found.key is not None else [],
        )

    def _record(self, claimed: Claimed, said: Said, *, judge: bool = True) -> None:
        tried = Try(at=datetime.now(UTC), status=said.status, error=said.error, seconds=round(said.seconds, 3))
        again = None
        with self._database.begin(claimed.delivery.tenant_id) as tx:
            if said.is_delivered:
                delivering.delivered(tx, claimed, tried)
            else:
                gone = said.status == rules.GONE
                if not gone:
                    again = rules.seconds_to_next_try(claimed.delivery.tries + 1, wish_seconds=said.wish_seconds)
                is_ours = delivering.failed(tx, claimed, tried, again_in_seconds=again)
                if is_ours and judge and claimed.endpoint is not None:
                    _judge(tx, claimed.endpoint, gone=gone)
        _log(claimed.delivery, said, again)

    def _blocking(self, act: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, act)


def _log(delivery: Delivery, said: Said, again: float | None) -> None:
    WEBHOOK_ATTEMPTS.add("delivered" if said.is_delivered else "failed" if again is None else "retrying")
    WEBHOOK_SECONDS.observe(said.seconds)
    ids = (delivery.tenant_id, delivery.job_id, delivery.id, delivery.type.value, delivery.tries + 1, said.status)
    if said.is_delivered:
        log.info(
            "webhook.delivered tenant=%s job=%s delivery=%s type=%s tries=%s status=%s seconds=%.3f", *ids, said.seconds
        )
    else:
        log.info(
            "webhook.failed tenant=%s job=%s delivery=%s type=%s tries=%s status=%s said=%s again_in_seconds=%s",
            *(*ids, said.error, again and round(again, 1)),
        )


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
