"""`/v1/workers`: the workers that live, and what each works on now."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from api import openapi
from api.auth import Watcher
from api.service import Service, Serving
from storage import at_work, scaling, workers
from storage.at_work import Running
from storage.workers import Worker
from tasks.job_document import Document

router = APIRouter(prefix="/v1/workers", tags=["workers"])


class RunningDocument(Document):
    """A step that a worker works on: its tenant's name, its job, its name in there."""

    tenant: str
    job: str
    step: str
    kind: str
    attempt: int
    started_at: datetime
    seconds: float
    progress: Annotated[float, Field(ge=0, le=1)]


class WorkerDocument(Document):
    """A worker that lives; one that is `stopping` begins nothing new."""

    name: str
    replica: Annotated[str, Field(description="its pod, or its process, as the scaler counts them")]
    pool: Annotated[str | None, Field(description="null: no scaler has decided about a pool of its name")]
    queues: list[str]
    slots: Annotated[int, Field(description="steps that it can work on at once")]
    started_at: datetime
    stopping: bool
    version: str | None
    running: Annotated[list[RunningDocument], Field(description="the longest first; of all workers at most 5000")]


class WorkerPage(Document):
    """All workers that live, the oldest first."""

    data: list[WorkerDocument]


@router.get("", summary="List workers", response_model=WorkerPage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: Watcher) -> Response:
    """All workers that live, and the steps, of all tenants, that each works on now."""
    found = await service.blocking(_workers, service)
    return Response(WorkerPage(data=found).model_dump_json(), media_type="application/json")


def _workers(service: Service) -> list[WorkerDocument]:
    with service.database.platform_snapshot() as tx:
        living = workers.living(tx)
        busy = at_work.running(tx, [worker.name for worker in living if worker.running])
        pools = {pool.name for pool in scaling.standing(tx)}
    return [_document(worker, busy.get(worker.name, ()), pools) for worker in living]


def _document(worker: Worker, running: Sequence[Running], pools: set[str]) -> WorkerDocument:
    pool = worker.name.partition("@")[0]  # as the pools' files name their workers
    return WorkerDocument(
        name=worker.name,
        replica=worker.replica,
        pool=pool if pool in pools else None,
        queues=list(worker.queues),
        slots=worker.slots,
        started_at=worker.started_at,
        stopping=worker.stopping,
        version=worker.version,
        running=[RunningDocument(**asdict(step)) for step in running],
    )
