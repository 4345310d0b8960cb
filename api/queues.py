"""`/v1/queues`: the queues, and stopping them."""

from fastapi import APIRouter
from fastapi.responses import Response

from api import openapi
from api.auth import Operator, Reader
from api.errors import not_found
from api.operating import QueueDocument, QueuePage
from api.service import Service, Serving
from storage import queues
from tasks.names import Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


@router.get("", summary="List queues", response_model=QueuePage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: Reader) -> Response:
    """All queues, and which of them are paused."""
    found = await service.blocking(_queues, service)
    return Response(QueuePage(data=found).model_dump_json(), media_type="application/json")


@router.post(
    "/{name}/pause",
    summary="Pause a queue",
    response_model=QueueDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def pause(name: str, service: Serving, caller: Operator) -> Response:
    """Nothing new starts from this queue, anywhere, from now on; what runs goes on, and jobs are still accepted."""
    return await _set(service, name, paused=True)


@router.post(
    "/{name}/resume",
    summary="Resume a queue",
    response_model=QueueDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def resume(name: str, service: Serving, caller: Operator) -> Response:
    """What has waited in the queue starts, the most urgent first."""
    return await _set(service, name, paused=False)


async def _set(service: Service, name: str, *, paused: bool) -> Response:
    if name not in set(Queue):
        raise not_found(f"queue; there are: {', '.join(Queue)}")
    found = await service.blocking(_write, service, name, paused=paused)
    return Response(found.model_dump_json(), media_type="application/json")


def _write(service: Service, name: str, *, paused: bool) -> QueueDocument:
    with service.database.platform() as tx:
        (queues.pause if paused else queues.resume)(tx, name)
    return next(queue for queue in _queues(service) if queue.name == name)


def _queues(service: Service) -> list[QueueDocument]:
    with service.database.platform_read() as tx:
        paused = queues.paused(tx)
    return [QueueDocument(name=name, paused=name in paused, paused_at=paused.get(name)) for name in Queue]
