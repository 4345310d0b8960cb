"""One whole platform for all end-to-end tests: the one that `make up` starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from tests.sink import Answer, Sink, sink


@pytest.fixture(scope="package")
def third_party() -> Iterator[Sink]:
    with sink() as state:
        yield state


@pytest.fixture
def hook(third_party: Sink) -> Sink:
    """A third party that has not been called yet."""
    third_party.got.clear()
    third_party.received.clear()
    third_party.answers = [Answer()]
    return third_party


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("platform")


@pytest.fixture(scope="package")
def platform(home: Path, third_party: Sink) -> Iterator[Running]:
    env = {
        **os.environ,
        "MILLRACE_HOME": str(home),
        "LEASE_SECONDS": "3",
        "OUTBOUND_ALLOW": third_party.host,
        "FLOWER_UNAUTHENTICATED_API": "true",  # so that the test can read what Flower shows
    }
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "STORAGE_URL"):
        env.pop(name, None)
    with running_platform(home, settings=from_env(env), say=lambda _: None) as running:
        yield running


@pytest.fixture
def http(platform: Running) -> Iterator[httpx2.Client]:
    """A client with a key; waits long enough for a long poll."""
    headers = {"Authorization": f"Bearer {platform.key}"}
    with httpx2.Client(base_url=platform.api, headers=headers, timeout=70) as client:
        yield client
