"""The three embedded servers together: which ones run, where they answer, and how a test gets them."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import home as homes
from deploy.local import identity, postgres, seaweed, valkey
from deploy.local.part import Part
from deploy.local.ports import claimed, recall
from deploy.local.running import running
from deploy.local.settings import Settings
from deploy.local.supervisor import Pace, Say

ALL = frozenset({"postgres", "valkey", "s3"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Urls:
    """Where servers answer; None for one that was not asked for.

    `env` has the same as environment variables: DATABASE_URL, CELERY_BROKER_URL, STORAGE_URL, AWS_….
    """

    database: str | None
    broker: str | None
    storage: str | None
    s3: str | None
    env: Mapping[str, str]


def sweep(home: Path) -> None:
    """Remove the sockets that servers of the last run left in /tmp, when they were killed. The home must be held."""
    for path in seaweed.sockets(recall(home / "ports.json")):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def ports_of(which: Collection[str]) -> tuple[str, ...]:
    """Name the ports that these servers need."""
    plain = tuple(name for name in ("postgres", "valkey") if name in which)
    return (*plain, *(seaweed.PORTS if "s3" in which else ()))


def plan(
    settings: Settings, which: Collection[str], ports: Mapping[str, int], *, durable: bool
) -> tuple[list[Part], dict[str, str]]:
    """Describe the chosen servers and the environment that leads to them.

    Raises CannotPrepare when one cannot be run on this machine.
    """
    home, parts, env = settings.home, [], {}
    if "postgres" in which:
        who = identity.choose(settings.postgres_bin or postgres.programs(), home)
        part, env["DATABASE_URL"] = postgres.part(who, home, ports["postgres"], durable=durable)
        parts.append(part)
    if "valkey" in which:
        program = settings.valkey_bin or valkey.binary()
        part, env["CELERY_BROKER_URL"] = valkey.part(program, home, ports["valkey"], durable=durable)
        parts.append(part)
    if "s3" in which:
        part, leading = seaweed.part(settings.weed_bin or seaweed.binary(), home, ports, durable=durable)
        env |= leading
        parts.append(part)
    return parts, env


def urls(env: Mapping[str, str]) -> Urls:
    """Read the addresses back out of such an environment."""
    return Urls(
        database=env.get("DATABASE_URL"),
        broker=env.get("CELERY_BROKER_URL"),
        storage=env.get("STORAGE_URL"),
        s3=env.get("AWS_ENDPOINT_URL_S3"),
        env=dict(env),
    )


@contextlib.contextmanager
def embedded_servers(
    home: Path,
    which: Collection[str] = ALL,
    *,
    durable: bool = False,
    settings: Settings | None = None,
    say: Say = lambda _line: None,
    pace: Pace | None = None,
) -> Iterator[Urls]:
    """Run these servers, started at the same time, while the body runs; nothing of them is left after it.

    For tests: what DATABASE_URL and its like say is not used, only the binaries of `settings`. The data stays in
    `home`; `durable=False` gives up safety against a power cut for speed, and keeps nothing of Valkey's. Raises
    AlreadyRunning, CannotPrepare, PartFailed.
    """
    chosen = dataclasses.replace(settings or Settings(), home=home.absolute())
    with homes.held(chosen.home), claimed(chosen.home / "ports.json", ports_of(which), seaweed.PORTS) as ports:
        parts, env = plan(chosen, which, ports, durable=durable)
        with running(chosen.home, parts, say=say, pace=pace):
            yield urls(env)
