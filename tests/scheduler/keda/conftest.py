"""Pools of a folder of the test's own, and numbers in its hand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.pools import FOLDER
from tests.scheduler.keda.serving import Running, Source, served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copies of the project's pools."""
    return Path(shutil.copytree(FOLDER, tmp_path / "pools"))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def running(folder: Path, source: Source) -> Iterator[Running]:
    """A server that streams look at every 20 milliseconds."""
    with served(folder, source) as found:
        yield found
