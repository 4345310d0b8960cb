"""A model server, its client, and callers that share batches."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.vision.grouped import Grouped
from tasks.vision.manifest import Group, Run
from tasks.vision.server import ServedModel
from tests.small_network import manifest, small_network
from tests.tasks.vision.callers import Threads
from tests.vision_server import ModelServer, model_server

Open = Callable[..., ServedModel]
OpenGroup = Callable[[Group], Grouped]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serves the small network."""
    with model_server(small_network()) as state:
        yield state


@pytest.fixture
def connect() -> Iterator[Open]:
    """Makes the client of a server."""
    made: list[ServedModel] = []

    def make(url: str, *, tls: ssl.SSLContext | None = None, **run: Any) -> ServedModel:
        settings = Run(on="server", url=url, **run)
        made.append(ServedModel(manifest(settings), tls or ssl.create_default_context()))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture
def open_group(server: ModelServer) -> Iterator[OpenGroup]:
    """Makes groups of callers before the server."""
    made: list[Grouped] = []

    def make(group: Group) -> Grouped:
        run = Run(on="server", url=server.url)
        made.append(Grouped(ServedModel(manifest(run), ssl.create_default_context()), group))
        return made[-1]

    yield make
    for group in made:
        group.close()


@pytest.fixture
def threads() -> Threads:
    """The callers."""
    return Threads()
