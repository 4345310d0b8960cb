"""A worker's resources without a worker: real database, objects in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.objects.settings import ObjectSettings
from storage.sealing import Keyring
from tasks.addresses import Rules
from tasks.budget import Budget
from tasks.outbound import Waiting
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
        outbound=Rules.parse(hook.host),
        keyring=Keyring(["a key of the tests, long enough to be one"]),
        report_seconds=0,
    )
    objects, outbound = Blocking(MemoryObjects()), Waiting(settings.outbound)
    yield Process(
        settings=settings,
        worker="w1",
        database=database,
        objects=objects,
        outbound=outbound,
        budget=Budget(None, settings.call_limits),
        scratch=tmp_path / "scratch",
    )
    outbound.close()
    objects.close()
