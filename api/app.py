"""The HTTP process, put together."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline

from api import (
    audit,
    batches,
    deadletters,
    deliveries,
    docs_page,
    endings,
    errors,
    events,
    flow,
    front,
    health,
    image_keys,
    images,
    job_file,
    job_logs,
    jobs,
    listen,
    metrics,
    openapi,
    outputs,
    overview,
    pools,
    queues,
    schedule_runs,
    schedules,
    scrape_targets,
    secrets,
    sessions,
    similar,
    templates,
    tenants,
    uploaded,
    webhooks,
    workers,
)
from api.bodies import minded
from api.gathering import AT_ONCE
from api.hub import Hub
from api.known_keys import KnownKeys
from api.lookout import Lookout
from api.service import Service
from api.session_cookie import unstored
from api.settings import ApiSettings
from api.short_cut import short_cuts
from api.streams import Streams
from api.watching import watched
from storage.async_database import AsyncDatabase
from storage.database import Database
from storage.objects.stores import open_objects
from storage.presence import telling
from storage.sessions import Sessions
from storage.telemetry import logs
from storage.telemetry.start import Telemetry, send_rest
from tasks.values import escape

STOP_SECONDS = 1.5  # for what requests that were cut off leave to be undone
TOGETHER = 2 * AT_ONCE  # connections for what many ask in one go: who they are, and what they submit, in groups

DESCRIPTION = """
Send a file, say what is to be done with it, and get the result: every job is a row before it is accepted, and is done
even if a worker, the broker or this process dies on the way.

Errors are `application/problem+json` with a stable `code`, and `errors` that point at each flaw.
"""

# What there is to tell of a request is told by api.watching: FastAPI would tell it a second time, with what was sent.
UNTOLD: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}

# In this order requests are matched: `flow` stands before `queues`, of which none is named so.
NOUNS = (
    *(  # what is asked most often comes first: a request is compared with one after another
        jobs,
        batches,
        endings,
        events,
        outputs,
        job_file,
        similar,
        schedule_runs,
        schedules,
        listen,
        webhooks,
        deliveries,
    ),
    *(sessions, audit, tenants, workers, flow),
    *(templates, uploaded, image_keys, images, secrets, deadletters, queues, pools, metrics, health),
    *(scrape_targets, overview, job_logs, front, docs_page),
)


def create_app(settings: ApiSettings, telemetry: Telemetry | None = None) -> FastAPI:
    """The application; connections are opened when it starts and closed when it stops.

    A process that has begun its `telemetry` is told among those that live.
    """
    app = FastAPIOffline(
        title="Millrace",
        summary="Uploads in, work out.",
        description=DESCRIPTION,
        version="1",
        lifespan=partial(_running, settings=settings, telemetry=telemetry),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=UNTOLD,
    )
    for noun in NOUNS:
        # As they are: FastAPI's `include_router` makes each route anew, and looks for it twice in each request.
        app.router.routes.extend(noun.router.routes)
    app.add_middleware(short_cuts, routes=app.router.routes)  # the innermost: the others stand around it
    app.add_middleware(unstored)
    app.add_middleware(minded, idle_seconds=settings.body_idle_seconds)
    app.add_middleware(watched)
    errors.install(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    openapi.install(app)
    return app


@asynccontextmanager
async def _running(app: FastAPI, settings: ApiSettings, telemetry: Telemetry | None) -> AsyncIterator[None]:
    """Open what the routers stand on, and close it in the other order when the process stops."""
    database = Database(settings.database)
    objects = open_objects(settings.objects)
    logs.keep(lambda: database)
    keys = KnownKeys()
    hub = Hub(database, keys)
    hub.start()
    app.state.searches = similar.Searches(
        database=database, folder=settings.cache_dir, most=settings.similar_max_pictures
    )
    limiter, sign_ins = CapacityLimiter(settings.database.pool_size), _sessions(settings)
    streams = Streams(
        database,
        sign_ins,
        limiter,
        check_seconds=settings.stream_check_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
    )
    streams.start()
    asked = AsyncDatabase(settings.database, connections=TOGETHER)
    app.state.service = Service(
        settings=settings,
        database=database,
        asked=asked,
        objects=objects,
        hub=hub,
        limiter=limiter,
        streams=streams,
        keys=keys,
        sessions=sign_ins,
    )
    app.state.lookout = Lookout(app.state.service)
    living = ExitStack()
    if telemetry is not None:
        living.enter_context(telling(database, telemetry))
    yield
    app.state.lookout.close()
    streams.close()
    await app.state.service.finish(seconds=STOP_SECONDS)
    hub.close()
    if app.state.service.sessions is not None:
        await app.state.service.sessions.close()
    await objects.close()
    await to_thread.run_sync(living.close)
    await to_thread.run_sync(send_rest)
    await to_thread.run_sync(logs.end)
    await asked.close()
    database.close()


def _sessions(settings: ApiSettings) -> Sessions | None:
    chosen = settings.sessions
    if chosen.url is None:
        return None
    return Sessions(chosen.url, idle_seconds=chosen.idle_seconds, life_seconds=chosen.life_seconds)


async def _invalid(_: Request, exc: Exception) -> Response:
    """A query parameter or header that does not fit."""
    assert isinstance(exc, RequestValidationError)
    flaws = {"".join(f"/{escape(part)}" for part in error["loc"]): str(error["msg"]) for error in exc.errors()}
    return errors.problem(errors.invalid_parameter(flaws))
