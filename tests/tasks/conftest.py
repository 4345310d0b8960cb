"""A worker's resources without a worker: real database, objects in memory."""

from collections.abc import Iterator

import httpx2
import pytest

from storage.database import Database
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.objects.settings import ObjectSettings
from tasks.process import Process
from tasks.settings import WorkerSettings
from tests.sink import Sink, sink


@pytest.fixture
def hook() -> Iterator[Sink]:
    """A third party."""
    with sink() as state:
        yield state


@pytest.fixture
def process(database: Database, hook: Sink) -> Iterator[Process]:
    """What a step's work stands on; calls may go to the sink only."""
    settings = WorkerSettings(
        database=database.settings,
        objects=ObjectSettings(bucket=None),
        lease_seconds=30,
        outbound_allow=frozenset({hook.host}),
    )
    objects = Blocking(MemoryObjects())
    with httpx2.Client(trust_env=False) as http:
        yield Process(settings=settings, worker="w1", database=database, objects=objects, http=http)
    objects.close()
