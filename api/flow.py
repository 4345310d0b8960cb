"""`/v1/queues/flow`: how much came and was done of late."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Watcher
from api.service import Service, Serving
from storage import flow
from storage.flow import MOST_MINUTES, Flow
from tasks.job_document import Document
from tasks.names import Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


class IntervalDocument(Document):
    """From `at` on: steps that became runnable, attempts that ended, however they did."""

    at: datetime
    arrived: int
    ended: int


class FlowDocument(Document):
    """Of each queue the intervals, the oldest first, without gaps; the one that goes on is left out."""

    seconds: Annotated[int, Field(description="how long an interval is")]
    data: dict[str, list[IntervalDocument]]


@router.get(
    "/flow",
    summary="Read what came and was done of late",
    response_model=FlowDocument,
    responses=openapi.problems(401, 403, 422, 503),
)
async def show(
    service: Serving,
    caller: Watcher,
    minutes: Annotated[int, Query(ge=1, le=MOST_MINUTES, description="how far back")] = 60,
) -> Response:
    """At most 60 points a queue, for a small chart of each: the intervals are the longer, the further it goes back."""
    found = await service.blocking(_flow, service, minutes)
    queues = {
        name: [IntervalDocument(**asdict(interval)) for interval in intervals]
        for name, intervals in found.queues.items()
    }
    return Response(FlowDocument(seconds=found.seconds, data=queues).model_dump_json(), media_type="application/json")


def _flow(service: Service, minutes: int) -> Flow:
    with service.database.platform_snapshot() as tx:
        return flow.read(tx, Queue, minutes=minutes)
