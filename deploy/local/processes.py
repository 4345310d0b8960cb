"""Our own processes on one machine: the steps that prepare the servers, the API, the scheduler, the scaler, Flower."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import deploy
from deploy.local import private
from deploy.local.part import GRACE_SECONDS, Layer, Part, Ready, never, when_http_ok, when_logged
from deploy.local.settings import Settings

PORTS = ("api", "flower")

ROOT = Path(deploy.__file__).parent.parent
"""Where `python -m api` and its like are found, and what `--conf=deploy/flower.py` is relative to."""

READY_SECONDS = 60.0
"""A slow machine imports slowly; a part that cannot start says so by dying."""

SCALER_GRACE_SECONDS = 6.0
"""For the scaler to stop its workers in, which first end, and then hand back, what they have begun."""

EMBEDDED = frozenset({"postgres", "valkey", "s3"})

OTHER_DATABASES = frozenset({"DATABASE_DIRECT_URL", "DATABASE_REPLICA_URLS"})

ADDRESSES = OTHER_DATABASES | {
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CACHE_URL",
    "STORAGE_URL",
    "PUBLIC_URL",
    "FLOWER_URL",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
}
"""What leads a process to its stack, besides AWS_…."""


def environment(settings: Settings, embedded: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that lead a process of ours, or a script, to this stack.

    What the caller's own environment says wins where no embedded server was started for it.
    """
    given = {name: value for name, value in settings.environ.items() if _leads(name)}
    if "AWS_ENDPOINT_URL_S3" in embedded:  # its keys replace all of the caller's
        given = {name: value for name, value in given.items() if not name.startswith("AWS_")}
    if "DATABASE_URL" in embedded:
        given = {name: value for name, value in given.items() if name not in OTHER_DATABASES}
    made = {name: f"http://127.0.0.1:{ports[part]}" for name, part in (("PUBLIC_URL", "api"), ("FLOWER_URL", "flower"))}
    if "SECRET_KEY" not in given:
        made["SECRET_KEY"] = private.secret(settings.home / "secret.key")
    return made | given | dict(embedded)


def parts(
    settings: Settings, leading: Mapping[str, str], ports: Mapping[str, int], servers: Collection[str]
) -> list[Part]:
    """Describe all of them. `servers` names the embedded ones to wait for; given ones are taken to be up."""
    home, env = settings.home, _inherited(settings) | dict(leading)
    described = [
        *_steps(home, env),
        _api(home, env, ports["api"]),
        _scheduler(home, env),
        _scaler(home, env),
        _flower(home, env, ports["flower"]),
    ]
    absent = EMBEDDED - frozenset(servers)
    return [replace(part, after=tuple(name for name in part.after if name not in absent)) for part in described]


def _steps(home: Path, env: Mapping[str, str]) -> list[Part]:
    return [
        _part(home, env, "migrate", "storage", "migrate", after=("postgres",), layer=Layer.STEP),
        _part(home, env, "bucket", "storage", "bucket", after=("s3",), layer=Layer.STEP),
        _part(home, env, "key", "deploy.local.key", str(home / "key"), after=("migrate",), layer=Layer.STEP),
    ]


def _api(home: Path, env: Mapping[str, str], port: int) -> Part:
    here = {"HOST": "127.0.0.1", "PORT": str(port)}
    ready = when_http_ok(port, "/readyz")
    return _part(home, {**env, **here}, "api", "api", after=("migrate", "bucket", "valkey"), ready=ready)


def _scheduler(home: Path, env: Mapping[str, str]) -> Part:
    ready = when_logged(_log(home, "scheduler"), "scheduler.ready")
    return _part(home, env, "scheduler", "scheduler", "run", after=("migrate", "bucket", "valkey"), ready=ready)


def _scaler(home: Path, env: Mapping[str, str]) -> Part:
    """The scaler starts the workers; it is ready when they are."""
    return _part(
        home,
        env,
        "scaler",
        *("scheduler", "scale", "--stop-workers"),
        *("--folder", str(workers_folder(home)), "--logs", str(home / "log")),
        after=("migrate", "valkey"),  # not sooner: a message of the last run must not meet an old schema
        ready=when_logged(_log(home, "scaler"), "scale.ready"),
        grace_seconds=SCALER_GRACE_SECONDS,
    )


def workers_folder(home: Path) -> Path:
    """Where the scaler keeps its notes of the workers that it has started."""
    return home / "workers"


def _flower(home: Path, env: Mapping[str, str], port: int) -> Part:
    here = {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": str(port), "FLOWER_DB": str(home / "flower")}
    return _part(
        home,
        {**env, **here},
        "flower",
        "deploy.flower",
        after=("migrate", "valkey"),
        ready=when_http_ok(port, "/healthcheck"),
    )


def _part(
    home: Path,
    env: Mapping[str, str],
    name: str,
    *command: str,
    after: tuple[str, ...],
    layer: Layer = Layer.PROCESS,
    ready: Ready = never,
    grace_seconds: float = GRACE_SECONDS,
) -> Part:
    return Part(
        name=name,
        layer=layer,
        argv=(sys.executable, "-m", *command),
        env=env,
        cwd=ROOT,
        log=_log(home, name),
        ready=ready,
        ready_seconds=READY_SECONDS,
        grace_seconds=grace_seconds,
        after=after,
    )


def _log(home: Path, name: str) -> Path:
    return home / "log" / f"{name}.log"


def _leads(name: str) -> bool:
    return name in ADDRESSES or name.startswith("AWS_")


def _inherited(settings: Settings) -> dict[str, str]:
    """Return what our processes get from the caller: all but what leads elsewhere."""
    kept = {name: value for name, value in settings.environ.items() if not _leads(name)}
    own = "127.0.0.1,localhost"
    for name in ("NO_PROXY", "no_proxy"):  # a proxy must not come between parts on loopback
        kept[name] = f"{kept[name]},{own}" if kept.get(name) else own
    port = "off" if kept.get("METRICS_PORT") == "off" else "0"
    kept |= {"METRICS_PORT": port, "METRICS_HOST": "127.0.0.1", "METRICS_URL": "", "METRICS_DIR": ""}  # each its own
    return {**kept, "PYTHONUNBUFFERED": "1"}  # logs are read while they are written
