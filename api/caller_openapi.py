"""What the OpenAPI document says of who calls, beside the scheme `key` that FastAPI reads from api.auth."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

COOKIE = "millrace_session"
MAX_TENANT_NAME = 200

_SIGN_IN = {
    "type": "apiKey",
    "description": "A sign-in, see POST /v1/session. What changes something needs the header X-CSRF-Token, too.",
    "in": "cookie",
    "name": COOKIE,
}
_TENANT = {
    "name": "tenant",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_TENANT_NAME},
    "description": "for operators: the name of the tenant for whom this is done; reading needs `operate:read`, "
    "changing needs `operate`",
}


def tell_who_calls(made: dict[str, Any], app: FastAPI) -> None:
    """Wherever a key is good, a sign-in is; and where an operator may act for a tenant, the parameter that names it."""
    made["components"]["securitySchemes"]["session"] = _SIGN_IN
    for operation in (operation for methods in made["paths"].values() for operation in methods.values()):
        schemes = operation.get("security", [])
        schemes += [{"session": scheme["key"]} for scheme in schemes if "key" in scheme]
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema and _is_for_others(route):
            for method in route.methods or ():
                made["paths"][route.path_format][method.lower()].setdefault("parameters", []).append(dict(_TENANT))


def _is_for_others(route: APIRoute) -> bool:
    return any(getattr(dependency.call, "acts", False) for dependency in route.dependant.dependencies)
