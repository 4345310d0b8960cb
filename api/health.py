"""`/livez` and `/readyz`: whether this process lives, and whether it can serve."""

from fastapi import APIRouter

from api import openapi
from api.schemas import Health
from api.service import Serving

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Does the process answer?", response_model=Health)
async def livez() -> Health:
    """The process answers."""
    return Health(status="alive")


@router.get("/readyz", summary="Can it serve?", response_model=Health, responses=openapi.problems(503))
async def readyz(service: Serving) -> Health:
    """The database and the object store answer too; 503 names the one that does not."""
    await service.blocking(service.database.check)
    await service.objects.check()
    return Health(status="ready")
