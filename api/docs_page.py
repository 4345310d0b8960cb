"""`/docs`: the API's documentation to read and to try, with Swagger UI from this host alone."""

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from api import page_policy

STATIC = "/static-offline-docs"  # where fastapi_offline mounts Swagger UI's files

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI before our OpenAPI document. No other page may frame it: its buttons send requests."""
    root, nonce = request.scope.get("root_path", ""), page_policy.nonce()
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Millrace - Swagger UI",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
    )
    text = bytes(page.body).decode().replace("<script", f'<script nonce="{nonce}"')
    return HTMLResponse(text, headers=page_policy.headers(nonce, images="'self' data:", styles="'self'"))
