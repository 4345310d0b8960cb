"""What the routers stand on, made once per process by api.app."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ParamSpec, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from api.hub import Hub
from api.settings import ApiSettings
from storage.database import Database
from storage.objects import Objects

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Settings, rows, objects and news; `limiter` lets no more threads ask the database than it has connections."""

    settings: ApiSettings
    database: Database
    objects: Objects
    hub: Hub
    limiter: CapacityLimiter

    async def blocking(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that asks the database, in a thread."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.limiter)


def service_of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Serving = Annotated[Service, Depends(service_of)]
