"""Runs the real app under a real uvicorn server, in a thread of the test process, so that a test can look behind it."""

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from api.__main__ import SERVER
from api.app import create_app
from api.service import Service
from api.settings import ApiSettings, from_env
from storage.objects import settings as objects_settings
from tests.trust import TRUST_NOBODY

MAX_UPLOAD_BYTES = 10 * 1024**2  # more than one part of a multipart upload to S3
SECRET_KEY = "of the tests alone and of no platform"
STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A server that answers on this port of loopback."""

    app: FastAPI
    port: int
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        """Stop as uvicorn does at SIGTERM, and wait for the end."""
        self.server.should_exit = True
        self.thread.join(STOP_SECONDS)
        assert not self.thread.is_alive(), "the server did not stop"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def service(self) -> Service:
        """What its routers stand on."""
        service = self.app.state.service
        assert isinstance(service, Service)
        return service


def settings(database_url: str, storage: dict[str, str] | None = None, **changes: Any) -> ApiSettings:
    """Settings with objects in memory, unless `storage` has other variables; `changes` replace fields."""
    env = {"DATABASE_URL": database_url, "MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "STORAGE_URL": "memory://"}
    made = from_env({**env, "SECRET_KEY": SECRET_KEY, **(storage or {})})
    assert isinstance(made.objects, objects_settings.ObjectSettings)
    return dataclasses.replace(made, **changes)


@contextlib.contextmanager
def served(chosen: ApiSettings, **changes: Any) -> Iterator[Served]:
    """Serve on a free port while the body runs; `changes` replace what `python -m api` gives uvicorn."""
    app = create_app(chosen)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **(SERVER | changes)))
    thread = threading.Thread(target=server.run, args=([listening],), name="uvicorn", daemon=True)
    thread.start()
    running = Served(app=app, port=port, server=server, thread=thread)
    try:
        httpx2.get(
            f"{running.url}/livez", timeout=10, verify=TRUST_NOBODY
        ).raise_for_status()  # the socket listens: this waits for the app
        yield running
    finally:
        running.stop()
