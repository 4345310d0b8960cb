"""All checks beside each other, each in a thread that nobody waits for longer than there is time."""

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from api.lookout import hosts_down
from deploy.doctor import broker, clocks, configuration, database, fleet, objects, stuck
from deploy.doctor.findings import Finding, fail, one_line
from storage import diagnosis, probes
from storage import settings as database_settings
from storage.database import Database
from storage.diagnosis_model import Facts, HostFacts, Part, Probe
from storage.errors import ConfigurationError, StorageError
from storage.objects import settings as objects_settings
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from storage.settings import DatabaseSettings
from tasks import outbound_settings
from tasks.budget_rules import Limits
from tasks.budget_shared import Shared
from tasks.errors import ConfigurationError as TasksConfigurationError
from tasks.names import Queue

DEADLINE_SECONDS = 10.0  # for all of it, whatever is away
LEAST_SECONDS = 5.0  # are given even where to start took long
PROBE_SECONDS = 3.0
ORDER = ("configuration", "database", "broker", "objects", "clocks", "processes", "work")
_LATE = "What it asks does not answer, and does not refuse either: look at the network in between, and at what hangs."


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """What of the environment can be used; None where it is missing or wrong, which the configuration's check says."""

    database: DatabaseSettings | None
    objects: ObjectSettings | None
    broker: tuple[str, str] | None  # its URL, and the name of the master among sentinels
    cache: str | None


def examine(env: Mapping[str, str], *, seconds: float = DEADLINE_SECONDS) -> list[Finding]:
    """Every finding, in the order of ORDER; a check that has not ended after `seconds` has failed."""
    until = time.monotonic() + seconds
    to = _addresses(env)
    checks: dict[str, Callable[[], list[Finding]]] = {"configuration": partial(configuration.check, env)}
    if to.database is not None:
        checks["database"] = partial(database.check, to.database)
        checks["processes"] = partial(_of_processes, to)
    if to.broker is not None:
        checks["broker"] = partial(broker.check, *to.broker)
    if to.objects is not None:
        checks["objects"] = partial(objects.check, to.objects)
    checks["work"] = partial(_of_work, to, until - 1.0)
    running = {name: _Running(check) for name, check in checks.items()}
    found: list[Finding] = []
    for name in ORDER:
        if name in running:
            found += running[name].result(name, until)
    return found


class _Running:
    """A check in a thread of its own, which does not keep the process from ending."""

    def __init__(self, check: Callable[[], list[Finding]]) -> None:
        self._found: list[Finding] | None = None
        self._failure: Exception | None = None
        self._check = check
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self, name: str, until: float) -> list[Finding]:
        """What it has found, or that it did not get there in time."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._failure is not None:
            words = f"The check itself failed: {type(self._failure).__name__}: {one_line(self._failure)}"
            return [fail(name, words, "This is a mistake of the doctor's: please report it.")]
        if self._found is None:
            return [fail(name, "The check did not come to an end in time.", _LATE)]
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._check()
        except Exception as exc:  # noqa: BLE001 - the edge of the thread: the other checks have their say, and it is told
            self._failure = exc


def _of_processes(to: Addresses) -> list[Finding]:
    """The fleet, and the clocks of all machines, which are known by it."""
    assert to.database is not None
    try:
        with _opened(to.database) as opened, opened.platform_read() as tx:
            found = fleet.read(tx)
    except StorageError as exc:
        return [fail(fleet.ABOUT, f"The processes cannot be read: {one_line(exc)}", "See the database, above.")]
    endpoint = None if to.objects is None else to.objects.endpoint
    skews = clocks.read(to.database.direct_url, to.broker, endpoint, found.addresses())
    return [*clocks.check(skews), *fleet.check(found)]


def _of_work(to: Addresses, until: float) -> list[Finding]:
    """The causes: by what answers, and by the rows, if they come in time."""
    probed: dict[str, Any] = {}
    asked: dict[str, tuple[Callable[[], Any], float]] = {}
    if to.database is not None:
        asked["facts"] = (partial(_facts, to.database), until - time.monotonic())
        asked[Part.DATABASE] = (partial(_database, to.database), PROBE_SECONDS)
    if to.broker is not None:
        url, master = to.broker
        asked[Part.BROKER] = (partial(probes.broker, url, master=master), PROBE_SECONDS)
    if to.objects is not None and to.objects.bucket is not None:
        asked[Part.OBJECTS] = (partial(_objects, to.objects), PROBE_SECONDS)
    if to.cache is not None:
        asked["hosts"] = (partial(_hosts, to.cache), PROBE_SECONDS)
    threads = {
        name: threading.Thread(target=_into, args=(probed, name, ask), daemon=True) for name, (ask, _) in asked.items()
    }
    began = time.monotonic()
    for thread in threads.values():
        thread.start()
    for name, thread in sorted(threads.items(), key=lambda one: asked[one[0]][1]):
        thread.join(max(0.0, began + asked[name][1] - time.monotonic()))
    answered = [probed.get(part) or probes.late(part, PROBE_SECONDS) for part in Part if part in asked]
    return stuck.check(probed.get("facts"), answered, probed.get("hosts"))


def _into(probed: dict[str, Any], name: str, ask: Callable[[], Any]) -> None:
    probed[name] = ask()


def _facts(settings: DatabaseSettings) -> Facts | None:
    try:
        with _opened(settings) as opened, opened.platform_read() as tx:
            return diagnosis.read(tx, Queue)
    except StorageError:
        return None


def _database(settings: DatabaseSettings) -> Probe:
    with _opened(settings) as opened:
        return probes.database(opened)


def _objects(settings: ObjectSettings) -> Probe:
    async def ask() -> Probe:
        opened = open_objects(dataclasses.replace(settings, patience=objects.PATIENCE))
        try:
            return await probes.objects(opened)
        finally:
            await opened.close()

    return asyncio.run(ask())


def _hosts(cache: str) -> list[HostFacts] | None:
    budget = Shared(cache, Limits())
    try:
        return hosts_down(budget)
    finally:
        budget.close()


def _addresses(env: Mapping[str, str]) -> Addresses:
    broker_url = env.get("CELERY_BROKER_URL")
    return Addresses(
        database=_read(lambda: database_settings.from_env(env)),
        objects=_read(lambda: objects_settings.from_env(env)),
        broker=(broker_url, env.get("BROKER_SENTINEL_MASTER") or "mymaster") if broker_url else None,
        cache=_read(lambda: outbound_settings.cache_url(env)),
    )


@contextlib.contextmanager
def _opened(settings: DatabaseSettings) -> Iterator[Database]:
    """A pool of one connection."""
    opened = Database(dataclasses.replace(settings, pool_size=1))
    try:
        yield opened
    finally:
        opened.close()


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (ConfigurationError, TasksConfigurationError):
        return None
