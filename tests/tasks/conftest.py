"""A worker's resources without a worker: real database, objects in memory."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.objects.settings import ObjectSettings
from tasks.process import Process
from tasks.settings import WorkerSettings
from tests.sink import Sink, sink
from tests.tasks.looking import bench, chelsea, folder
from tests.tasks.working import env, read, relaying, worker

__all__ = ["bench", "chelsea", "env", "folder", "read", "relaying", "worker"]  # fixtures of several tests


@pytest.fixture
def hook() -> Iterator[Sink]:
    """A third party."""
    with sink() as state:
        yield state


@pytest.fixture
def process(database: Database, hook: Sink, tmp_path: Path) -> Iterator[Process]:
    """What a step's work stands on; calls may go to the sink only."""
    settings = WorkerSettings(
        database=database.settings,
        objects=ObjectSettings(bucket=None),
        lease_seconds=30,
        outbound_allow=frozenset({hook.host}),
    )
    objects = Blocking(MemoryObjects())
    yield Process(
        settings=settings,
        worker="w1",
        database=database,
        objects=objects,
        tls=ssl.create_default_context(),
        scratch=tmp_path / "scratch",
    )
    objects.close()
