from pathlib import Path

import pytest

from tests.deploy.standins import Lines, Pids, take_stock


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o711)
    return folder


@pytest.fixture(autouse=True)
def _stock() -> None:
    take_stock()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def pids() -> Pids:
    return Pids()
