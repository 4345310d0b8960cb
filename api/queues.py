"""`/v1/queues`: the queues, their numbers, and stopping them."""

from fastapi import APIRouter
from fastapi.responses import Response

from api import openapi
from api.auth import AnyReader, Operator, may_watch
from api.errors import not_found
from api.operating import QueueDocument, QueuePage, bare_queue_document, queue_document
from api.service import Service, Serving
from storage import audit, counts, queues
from storage.model import Principal
from tasks.names import Queue

router = APIRouter(prefix="/v1/queues", tags=["queues"])


@router.get("", summary="List queues", response_model=QueuePage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: AnyReader) -> Response:
    """All queues: which of them are paused, and, for a key with the scope `operate:read`, the exact numbers of each."""
    found = await service.blocking(_queues, service, caller)
    return Response(QueuePage(data=found).model_dump_json(), media_type="application/json")


@router.get(
    "/{name}",
    summary="Read a queue",
    response_model=QueueDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def show(name: str, service: Serving, caller: AnyReader) -> Response:
    """One queue, as in the listing."""
    _check_there(name)
    found = await service.blocking(_queue, service, caller, name)
    return Response(found.model_dump_json(), media_type="application/json")


@router.post(
    "/{name}/pause",
    summary="Pause a queue",
    response_model=QueueDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def pause(name: str, service: Serving, caller: Operator) -> Response:
    """Nothing new starts from this queue, anywhere, from now on; what runs goes on, and jobs are still accepted."""
    return await _set(service, caller, name, paused=True)


@router.post(
    "/{name}/resume",
    summary="Resume a queue",
    response_model=QueueDocument,
    responses=openapi.problems(401, 403, 404, 422, 503),
)
async def resume(name: str, service: Serving, caller: Operator) -> Response:
    """What has waited in the queue starts, the most urgent first."""
    return await _set(service, caller, name, paused=False)


async def _set(service: Service, caller: Principal, name: str, *, paused: bool) -> Response:
    _check_there(name)
    found = await service.blocking(_write, service, caller, name, paused=paused)
    return Response(found.model_dump_json(), media_type="application/json")


def _check_there(name: str) -> None:
    """Raise Refused (404) unless there is such a queue."""
    if name not in set(Queue):
        raise not_found(f"queue; there are: {', '.join(Queue)}")


def _write(service: Service, caller: Principal, name: str, *, paused: bool) -> QueueDocument:
    with service.database.platform() as tx:
        (queues.pause if paused else queues.resume)(tx, name)
        audit.note(tx.of(caller.tenant_id), caller, "queue.pause" if paused else "queue.resume", name)
    return _queue(service, caller, name)


def _queue(service: Service, caller: Principal, name: str) -> QueueDocument:
    return next(queue for queue in _queues(service, caller) if queue.name == name)


def _queues(service: Service, caller: Principal) -> list[QueueDocument]:
    if may_watch(caller):
        with service.database.platform_snapshot() as tx:
            return [queue_document(queue) for queue in counts.read(tx, Queue).values()]
    with service.database.platform_read() as tx:
        paused = queues.paused(tx)
    return [bare_queue_document(name, paused.get(name)) for name in Queue]
