"""`GET /v1/overview`: what is stuck, and why, in words; and how much there is to do."""

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Request, Security
from fastapi.responses import Response
from pydantic import Field

from api import auth, openapi, session_cookie
from api.errors import Refused
from api.lookout import Look, Lookout
from api.service import Service, service_at
from api.session_cookie import UNSTORED
from storage.causes import Cause, CauseCode, Severity, State, state_of
from storage.diagnosis_model import Part, Probe
from storage.errors import DatabaseUnavailable, SessionsUnavailable
from storage.model import Principal
from tasks.job_document import Document

router = APIRouter(tags=["overview"])

SIGN_IN_SECONDS = 2.0  # who was admitted lately does not wait longer for a database that hangs


class CauseDocument(Document):
    """Something that is stuck: what, in a sentence, and what to do. `docs/stuck.md` has a section for each code."""

    code: CauseCode
    severity: Severity
    subject: Annotated[str, Field(description="what has it: a queue, a pool, a host, a kind of step, a server")]
    sentence: str
    hint: str
    since: datetime | None
    facts: Annotated[dict[str, Any], Field(description="the numbers behind it")]


class ProbeDocument(Document):
    """Whether a server answered this process of the API."""

    part: Part
    ok: bool
    seconds: float
    reason: str | None


class OverviewDocument(Document):
    """`stuck` if a cause is critical, `degraded` if there is any; the worst cause comes first.

    The numbers are null while the database does not tell.
    """

    at: datetime
    state: State
    causes: list[CauseDocument]
    probes: list[ProbeDocument]
    queues: int | None
    running: int | None
    runnable: int | None
    workers: int | None
    failed_last_hour: Annotated[int | None, Field(description="jobs; counted up to 10,000")]


async def watching(request: Request, scopes: frozenset[str]) -> None:
    """Let in who may watch. While the database, or the store of sign-ins, cannot say who they are: who was lately.

    So that the cause is still told to those who look on. A key that is revoked meanwhile sees it for five minutes more.
    """
    service = service_at(request)
    lookout, who = lookout_of(request), _who(request, service)
    was_admitted = lookout.was_admitted(who)
    if was_admitted and lookout.is_database_away():
        return
    asked = service.begin(auth.principal(request, scopes))
    try:
        if was_admitted:
            await asyncio.wait({asked}, timeout=SIGN_IN_SECONDS)
            if not asked.done():
                asked.add_done_callback(_dropped)
                return
        await asked
    except (DatabaseUnavailable, SessionsUnavailable):
        if not was_admitted:
            raise
        return
    except Refused:
        lookout.forget(who)
        raise
    lookout.admit(who)


@router.get(
    "/v1/overview",
    summary="See what is stuck, and why",
    response_model=OverviewDocument,
    responses=openapi.problems(401, 403, 503),
    dependencies=[Security(auth.Admission(watching), scopes=[auth.OPERATE_READ])],
)
async def overview(request: Request) -> Response:
    """What is stuck in the whole platform, and why, the worst first; it is looked at every two seconds at most.

    Answers even while the database is away, to those who were let in within the last five minutes.
    """
    look = await lookout_of(request).look()
    return Response(_document(look).model_dump_json(), media_type="application/json", headers=UNSTORED)


def lookout_of(request: Request) -> Lookout:
    return cast(Lookout, request.app.state.lookout)


def _who(request: Request, service: Service) -> bytes:
    """What stands for the key or sign-in that is sent, and does not give it away."""
    sent = request.headers.get("Authorization") or session_cookie.token_in(request, service.settings.public_url) or ""
    return hashlib.sha256(sent.encode()).digest()


def _dropped(asked: "asyncio.Task[Principal]") -> None:
    """Its answer came too late for anybody to read."""
    if not asked.cancelled():
        asked.exception()


def _document(look: Look) -> OverviewDocument:
    facts = look.seen.facts
    return OverviewDocument(
        at=look.seen.at,
        state=state_of(look.causes),
        causes=[_cause(cause) for cause in look.causes],
        probes=[_probe(probe) for probe in look.seen.probes],
        queues=None if facts is None else len(facts.queues),
        running=None if facts is None else sum(queue.running for queue in facts.queues),
        runnable=None if facts is None else sum(queue.runnable for queue in facts.queues),
        workers=None if facts is None else facts.workers,
        failed_last_hour=None if facts is None else facts.failed_last_hour,
    )


def _cause(cause: Cause) -> CauseDocument:
    return CauseDocument(
        code=cause.code,
        severity=cause.severity,
        subject=cause.subject,
        sentence=cause.sentence,
        hint=cause.hint,
        since=cause.since,
        facts=dict(cause.facts),
    )


def _probe(probe: Probe) -> ProbeDocument:
    return ProbeDocument(part=probe.part, ok=probe.reason is None, seconds=round(probe.seconds, 4), reason=probe.reason)
