"""`/metrics/targets`: where the living processes serve their numbers, for Prometheus to find them (http_sd_config)."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field, RootModel

from api import openapi
from api.auth import Watcher
from api.service import Service, Serving
from storage import processes, workers

router = APIRouter(tags=["metrics"])


class TargetDocument(BaseModel):
    """One process, as Prometheus reads it: it has an instance and a job of its own in the labels."""

    targets: Annotated[list[str], Field(description="host:port")]
    labels: dict[str, str]


class TargetsDocument(RootModel[list[TargetDocument]]):
    """All that live and serve numbers, the API's own processes aside."""


@router.get(
    "/metrics/targets",
    summary="Find the processes that serve numbers",
    response_model=TargetsDocument,
    responses=openapi.problems(401, 403, 503),
)
async def targets(service: Serving, caller: Watcher) -> Response:
    """The living workers, schedulers, scalers and KEDA scalers that serve `/metrics`, in the form of http_sd_config."""
    found = await service.blocking(_found, service)
    return Response(TargetsDocument(found).model_dump_json(), media_type="application/json")


def _found(service: Service) -> list[TargetDocument]:
    with service.database.platform_read() as tx:
        known = [(one.role, one.name, one.metrics_url) for one in processes.living(tx)]
        known += [("worker", one.name.partition("/")[0], one.metrics_url) for one in workers.living(tx)]
    return [target for role, name, url in known if url is not None for target in _target(role, name, url)]


def _target(role: str, name: str, url: str) -> Iterator[TargetDocument]:
    """None for an address that is none: METRICS_URL is whatever its operator wrote."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return
    labels = {"role": role, "process": name}
    if parts.scheme == "https":
        labels["__scheme__"] = "https"
    path = parts.path.rstrip("/")
    if path not in ("", "/metrics"):
        labels["__metrics_path__"] = path
    yield TargetDocument(targets=[parts.netloc], labels=labels)
