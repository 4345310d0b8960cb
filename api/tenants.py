"""`/v1/tenants`: for whom operators can act."""

from fastapi import APIRouter
from fastapi.responses import Response

from api import openapi
from api.auth import Watcher
from api.service import Service, Serving
from api.session_documents import TenantDocument
from storage import tenants
from tasks.job_document import Document

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])


class TenantPage(Document):
    """All tenants, by name."""

    data: list[TenantDocument]


@router.get("", summary="List tenants", response_model=TenantPage, responses=openapi.problems(401, 403, 503))
async def index(service: Serving, caller: Watcher) -> Response:
    """All tenants. With `?tenant=NAME` an operator sees, and with the scope `operate` does, what that tenant would."""
    found = await service.blocking(_tenants, service)
    return Response(TenantPage(data=found).model_dump_json(), media_type="application/json")


def _tenants(service: Service) -> list[TenantDocument]:
    with service.database.platform_read() as tx:
        return [TenantDocument(id=tenant_id, name=name) for tenant_id, name in tenants.all_of_them(tx)]
