"""The whole platform on one machine: the servers that are not given, the steps, our processes."""

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import home as homes
from deploy.local import private, processes, seaweed, servers
from deploy.local.ports import claimed
from deploy.local.running import running
from deploy.local.settings import Settings, from_env
from deploy.local.supervisor import Say, Supervisor
from scheduler import notes


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """What `<home>/run.json` says of a platform that is ready.

    `urls` has database, broker and s3; `processes` the process numbers by part; `env` what a script needs in its
    environment to talk to the same stack.
    """

    api: str
    flower: str
    key: str
    urls: Mapping[str, str]
    processes: Mapping[str, int]
    env: Mapping[str, str]


@contextlib.contextmanager
def running_platform(
    home: Path | None = None, *, settings: Settings | None = None, say: Say = print
) -> Iterator[Running]:
    """Run the platform while the body runs; nothing of it is left after that but the data in its home.

    `home` defaults to that of the settings, and the settings to the environment's. Raises AlreadyRunning, BadSetting,
    CannotPrepare, PartFailed: all with a message for people. See `find_running` for one that is there already.
    """
    settings = settings or from_env()
    chosen = dataclasses.replace(settings, home=(home or settings.home).absolute())
    with supervised(chosen, say=say) as (running_now, _):
        yield running_now


def find_running(home: Path) -> Running | None:
    """Return the platform that runs in this home, None when there is none or it is not ready yet."""
    if homes.holder(home) is None:
        return None
    try:
        content = json.loads(_run_file(home).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return _with_workers(Running(**content), home)


@contextlib.contextmanager
def supervised(settings: Settings, *, say: Say) -> Iterator[tuple[Running, Supervisor]]:
    """As `running_platform`, with the supervisor, so that the caller can wait for a failure."""
    home, which = settings.home, embedded(settings)
    names = (*servers.ports_of(which), *processes.PORTS)
    with homes.held(home) as left, claimed(home / "ports.json", names, seaweed.PORTS) as ports:
        if left:
            say(f"stopped what a killed run had left: {', '.join(left)}")
        server_parts, leading = servers.plan(settings, which, ports, durable=True)
        leading = processes.environment(settings, leading, ports)
        own_parts = processes.parts(settings, leading, ports, servers=which)
        file = _RunFile(_run_file(home))
        with running(home, [*server_parts, *own_parts], say=say, changed=file.update) as supervisor:
            try:
                key = (home / "key").read_text(encoding="utf-8").strip()
                yield _with_workers(file.publish(_running(ports, key, leading)), home), supervisor
            finally:
                file.withdraw()  # before anything stops: nobody shall be led to half a platform


def embedded(settings: Settings) -> frozenset[str]:
    """Name the servers that are not given from outside."""
    given = {"postgres": settings.database_url, "valkey": settings.broker_url, "s3": settings.storage_url}
    return frozenset(name for name, url in given.items() if url is None)


class _RunFile:
    """Holds run.json while the platform is ready: current process numbers at any time, never half a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._processes: Mapping[str, int] = {}
        self._running: Running | None = None

    def publish(self, running_now: Running) -> Running:
        with self._lock:
            self._running = running_now
            return self._write(running_now)

    def update(self, numbers: Mapping[str, int]) -> None:
        with self._lock:
            self._processes = dict(numbers)
            if self._running is not None:
                self._write(self._running)

    def withdraw(self) -> None:
        with self._lock:
            self._running = None
            self._path.unlink(missing_ok=True)

    def _write(self, running_now: Running) -> Running:
        current = dataclasses.replace(running_now, processes=self._processes)
        content: dict[str, Any] = dataclasses.asdict(current)
        private.write(self._path, json.dumps(content, indent=2) + "\n")
        return current


def _with_workers(found: Running, home: Path) -> Running:
    """The same, with the workers that the scaler has started by now: they come and go."""
    workers = {f"worker-{note.replica}": note.pid for note in notes.read(processes.workers_folder(home))}
    return dataclasses.replace(found, processes={**found.processes, **workers})


def _running(ports: Mapping[str, int], key: str, leading: Mapping[str, str]) -> Running:
    return Running(
        api=f"http://127.0.0.1:{ports['api']}",
        flower=f"http://127.0.0.1:{ports['flower']}",
        key=key,
        urls={
            "database": leading["DATABASE_URL"],
            "broker": leading["CELERY_BROKER_URL"],
            "s3": leading.get("AWS_ENDPOINT_URL_S3") or leading["STORAGE_URL"],
        },
        processes={},
        env=leading,
    )


def _run_file(home: Path) -> Path:
    return home / "run.json"
