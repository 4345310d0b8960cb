"""What the routers stand on, made once per process by api.app."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from api.batch_spool import BatchRoom
from api.errors import Refused
from api.gathering import Gathering
from api.hub import Hub
from api.known_keys import KnownKeys
from api.settings import ApiSettings
from api.streams import Streams
from storage.async_database import AsyncDatabase
from storage.database import Database
from storage.objects import Objects
from storage.sealing import Keyring
from storage.sessions import Sessions

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Settings, rows, objects, news and who reads them.

    `limiter` lets no more threads ask the database than it has connections; `asked` needs no thread.
    """

    settings: ApiSettings
    database: Database
    asked: AsyncDatabase
    objects: Objects
    hub: Hub
    limiter: CapacityLimiter
    streams: Streams
    keys: KnownKeys
    sessions: Sessions | None = None
    batch_room: BatchRoom = field(default_factory=BatchRoom)
    unfinished: set[asyncio.Task[Any]] = field(default_factory=set)
    gatherings: dict[Any, Gathering[Any, Any]] = field(default_factory=dict)

    async def blocking(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that asks the database, in a thread."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.limiter)

    async def together(self, ask_all: Callable[["Service", Sequence[Q]], Awaitable[Sequence[R]]], question: Q) -> R:
        """Ask the database together with the other requests that ask the same of it in this moment.

        Once it is being asked that comes to its end although the request is cancelled; before that nothing was done.
        """
        gathering = self.gatherings.get(ask_all)
        if gathering is None:
            gathering = self.gatherings[ask_all] = Gathering(partial(ask_all, self), self.begin)
        answer: R = await gathering.ask(question)
        return answer

    def keyring(self) -> Keyring:
        """What seals secrets. Raises Refused (503) where the operator has set none."""
        if self.settings.keyring is None:
            detail = "this platform keeps no secrets: its operator has to set SECRET_KEY"
            raise Refused(503, "secret_key_missing", detail)
        return self.settings.keyring

    def signing_in(self) -> Sessions:
        """Where sign-ins are kept. Raises Refused (503) where the operator has set no place for them."""
        if self.sessions is None:
            detail = "this platform keeps no sign-ins: its operator has to set CACHE_URL; API keys work"
            raise Refused(503, "sessions_missing", detail)
        return self.sessions

    def begin(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Start work that does not end with its request; a stopping process waits for it, see `finish`."""
        task = asyncio.create_task(work)
        self.unfinished.add(task)
        task.add_done_callback(self.unfinished.discard)
        return task

    async def to_its_end(self, work: Coroutine[Any, Any, R]) -> R:
        """Do work that goes on although the request is cancelled, as uvicorn does when it stops."""
        return await asyncio.shield(self.begin(work))

    async def finish(self, *, seconds: float) -> None:
        """Wait for what has outlived its request."""
        if self.unfinished:
            await asyncio.wait(self.unfinished, timeout=seconds)


def service_at(request: Request) -> Service:
    """What the app that answers this request stands on."""
    return cast(Service, request.app.state.service)


async def _service(request: Request) -> Service:  # FastAPI would call a plain function in a thread
    return service_at(request)


Serving = Annotated[Service, Depends(_service)]
