"""The HTTP process, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi_offline import FastAPIOffline

from api import (
    deadletters,
    deliveries,
    endings,
    errors,
    events,
    health,
    image_keys,
    images,
    jobs,
    listen,
    metrics,
    openapi,
    outputs,
    pools,
    queues,
    schedule_runs,
    schedules,
    secrets,
    similar,
    templates,
    uploaded,
    webhooks,
)
from api.bodies import minded
from api.hub import Hub
from api.service import Service
from api.settings import ApiSettings
from api.watching import watched
from storage.database import Database
from storage.objects.stores import open_objects
from tasks.errors import Flaw
from tasks.values import escape

STOP_SECONDS = 1.5  # for what requests that were cut off leave to be undone

DESCRIPTION = """
Send a file, say what is to be done with it, and get the result: every job is a row before it is accepted, and is done
even if a worker, the broker or this process dies on the way.

Errors are `application/problem+json` with a stable `code`, and `errors` that point at each flaw.
"""


def create_app(settings: ApiSettings) -> FastAPI:
    """The application; connections are opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database)
        objects = open_objects(settings.objects)
        hub = Hub(database)
        hub.start()
        app.state.searches = similar.Searches(
            database=database, folder=settings.cache_dir, most=settings.similar_max_pictures
        )
        app.state.service = Service(
            settings=settings,
            database=database,
            objects=objects,
            hub=hub,
            limiter=CapacityLimiter(settings.database.pool_size),
        )
        yield
        await app.state.service.finish(seconds=STOP_SECONDS)
        hub.close()
        await objects.close()
        database.close()

    app = FastAPIOffline(
        title="Millrace",
        summary="Uploads in, work out.",
        description=DESCRIPTION,
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        strict_content_type=False,
        redirect_slashes=False,
    )
    nouns = (jobs, endings, events, outputs, similar, schedule_runs, schedules, listen, webhooks, deliveries)
    for noun in (*nouns, templates, uploaded, image_keys, images, secrets, deadletters, queues, pools, metrics, health):
        app.include_router(noun.router)
    app.add_api_route("/", _front, include_in_schema=False)
    app.add_middleware(minded, idle_seconds=settings.body_idle_seconds)
    app.add_middleware(watched)
    errors.install(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    openapi.install(app)
    return app


async def _front() -> Response:
    return RedirectResponse("/docs", status_code=307)


async def _invalid(_: Request, exc: Exception) -> Response:
    """A query parameter or header that does not fit."""
    assert isinstance(exc, RequestValidationError)
    flaws = [
        Flaw(pointer="".join(f"/{escape(part)}" for part in error["loc"]), detail=str(error["msg"]))
        for error in exc.errors()
    ]
    detail = "a parameter of the request has a wrong value; 'errors' names it"
    return errors.problem(errors.Refused(422, "invalid_parameter", detail, flaws=flaws))
