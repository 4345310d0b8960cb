"""What the HTTP process needs to know, from the environment."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api import session_settings
from api.errors import ConfigurationError
from api.session_settings import SessionSettings
from storage import retention_settings
from storage import settings as storage_settings
from storage.objects import MAX_OBJECT_BYTES
from storage.objects import settings as objects_settings
from storage.sealing import Keyring, keyring_from_env
from tasks.addresses import Rules

ENGINES = ("vips", "pillow")  # the default first


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSettings:
    """`public_url` stands before the links in answers (empty: links are paths); sizes in bytes, times in seconds."""

    database: storage_settings.DatabaseSettings
    objects: objects_settings.ObjectSettings
    host: str
    port: int
    processes: int
    public_url: str
    log_level: str
    max_upload_bytes: int
    max_job_bytes: int
    body_idle_seconds: float = 30.0  # a body of which nothing comes for this long is refused
    keep_alive_seconds: float = 15.0  # between two signs of life in an event stream: proxies cut idle connections
    stream_check_seconds: float = 60.0  # between two looks whether who reads event streams still may
    cache_dir: Path = Path(tempfile.gettempdir())  # where vectors are searched that no pgvector searches,
    similar_max_pictures: int = 100_000  # of tenants with at most so many
    max_schedules: int = 1000  # of one tenant
    image_engine: str = "vips"  # as the workers have it: by it they know finished pictures
    keyring: Keyring | None = None  # without one no secret is kept, and no webhook
    outbound: Rules = Rules.parse("")  # noqa: RUF009 - frozen, as the class is
    rendition_days: float = retention_settings.DEFAULT_RENDITION_DAYS  # 0: no pictures are shared
    sessions: SessionSettings = SessionSettings()  # noqa: RUF009 - frozen, as the class is
    flower_url: str | None = None  # where people see Flower
    broker_url: str | None = None  # of the broker, which the overview asks whether it lives; nothing is sent to it
    broker_master: str = "mymaster"  # its name among sentinels


def from_env(env: Mapping[str, str]) -> ApiSettings:
    """Read HOST, PORT, WEB_CONCURRENCY, PUBLIC_URL, LOG_LEVEL, MAX_UPLOAD_BYTES, MAX_JOB_BYTES, BODY_IDLE_SECONDS,
    CACHE_DIR, SIMILAR_MAX_PICTURES, MAX_SCHEDULES, IMAGE_ENGINE, RENDITION_DAYS, SECRET_KEY, SECRET_KEY_FALLBACKS,
    OUTBOUND_ALLOW, FLOWER_URL, CELERY_BROKER_URL, BROKER_SENTINEL_MASTER, CACHE_URL and SESSION_…, and storage's own.

    Raises ConfigurationError, of this package or of storage, with one line that names the variable.
    """
    level = env.get("LOG_LEVEL", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigurationError(f"LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    public_url = env.get("PUBLIC_URL", "").rstrip("/")
    if public_url and not public_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"PUBLIC_URL must begin with http:// or https://, not {public_url!r}")
    return ApiSettings(
        database=storage_settings.from_env(env),
        objects=objects_settings.from_env(env),
        host=env.get("HOST", "127.0.0.1"),
        port=_whole(env, "PORT", 8000, 0, 65_535),
        processes=_whole(env, "WEB_CONCURRENCY", 1, 1, 256),
        public_url=public_url,
        log_level=level,
        max_upload_bytes=_whole(env, "MAX_UPLOAD_BYTES", 5 * 1024**3, 1, MAX_OBJECT_BYTES),
        max_job_bytes=_whole(env, "MAX_JOB_BYTES", 1024**2, 1024, 64 * 1024**2),
        body_idle_seconds=_whole(env, "BODY_IDLE_SECONDS", 30, 1, 3600),
        cache_dir=_folder(env, "CACHE_DIR", tempfile.gettempdir()),
        similar_max_pictures=_whole(env, "SIMILAR_MAX_PICTURES", 100_000, 1, 10_000_000),
        max_schedules=_whole(env, "MAX_SCHEDULES", 1000, 1, 10_000_000),
        image_engine=_engine(env),
        keyring=keyring_from_env(env),
        outbound=_rules(env),
        rendition_days=retention_settings.rendition_days(env),
        sessions=session_settings.from_env(env),
        flower_url=_flower(env),
        broker_url=env.get("CELERY_BROKER_URL") or None,
        broker_master=env.get("BROKER_SENTINEL_MASTER") or "mymaster",
    )


def _whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    raw = env.get(name, "") or str(default)
    if not raw.isascii() or not raw.isdigit() or not least <= int(raw[:20]) <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {raw[:40]!r}")
    return int(raw)


def _engine(env: Mapping[str, str]) -> str:
    engine = env.get("IMAGE_ENGINE", "") or ENGINES[0]
    if engine not in ENGINES:
        raise ConfigurationError(f"IMAGE_ENGINE must be {' or '.join(ENGINES)}, not {engine[:40]!r}")
    return engine


def _flower(env: Mapping[str, str]) -> str | None:
    url = env.get("FLOWER_URL", "").rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"FLOWER_URL must begin with http:// or https://, not {url[:80]!r}")
    return url or None


def _rules(env: Mapping[str, str]) -> Rules:
    try:
        return Rules.parse(env.get("OUTBOUND_ALLOW", ""))
    except ValueError as exc:
        raise ConfigurationError(f"OUTBOUND_ALLOW: {exc}") from exc


def _folder(env: Mapping[str, str], name: str, default: str) -> Path:
    path = Path(env.get(name, "") or default)
    if not path.is_dir():
        raise ConfigurationError(f"{name} must be a folder that is there, not {str(path)[:200]!r}")
    return path
