"""What stands in the object store behind the API: put there as a worker would, swept away as the sweeper does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from scheduler.sweep import remove_objects
from storage.keys import output_key
from storage.model import Claim
from storage.objects import Objects
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.objects.stores import open_objects
from tests.api.conftest import Api


def in_store(api: Api, act: Any) -> None:
    """Do something with the objects: in memory it is the server's own store, else a client of ours."""
    asyncio.run(act(_objects(api)))


def put_output(api: Api, claim: Claim, content: bytes, name: str = "small") -> str:
    """Store an output of a running step; returns its key."""
    key = output_key(claim.tenant_id, claim.job_id, claim.step_id, claim.attempt, name)
    in_store(api, lambda objects: objects.put(key, once(content), content_type="image/png"))
    return key


def sweep(api: Api) -> int:
    """Do the removals that are due, as the scheduler does; returns how many."""
    blocking = Blocking(_objects(api))
    try:
        return remove_objects(api.database, blocking)
    finally:
        blocking.close()


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _objects(api: Api) -> Objects:
    behind = api.served.service.objects
    return behind if isinstance(behind, MemoryObjects) else open_objects(api.served.service.settings.objects)
