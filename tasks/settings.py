"""What a worker process needs to know, from the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage import retention_settings
from storage import settings as storage_settings
from storage.model import JobState
from storage.objects import MAX_OBJECT_BYTES
from storage.objects import settings as objects_settings
from storage.sealing import Keyring, keyring_from_env
from tasks import outbound_settings
from tasks.addresses import Rules
from tasks.budget import Limits
from tasks.errors import ConfigurationError

MODELS_DIR = Path(__file__).parent.parent / "deploy" / "models"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """`lease_seconds`: how long a step stays with a worker that says nothing. `outbound`: what may be called besides
    public addresses, `nameservers` who is asked for those (none: the system), `cache_url` where workers share
    `call_limits` (none: each for itself), `keyring` what opens tenants' secrets. `max_fetch_bytes` of an input by URL.
    `public_url` stands before the links that third parties are sent. `cancel_grace_seconds`: how long a step may go on
    that is not wanted any more; `stop_grace_seconds`: how long steps may go on in a worker that is told to stop.
    `models_dir`: the networks of image.analyze, a manifest each. `kept_seconds`: how long ended jobs are kept, by
    state; missing: for ever.
    """

    database: storage_settings.DatabaseSettings
    objects: objects_settings.ObjectSettings
    lease_seconds: float
    outbound: Rules
    nameservers: Sequence[str] = ()
    cache_url: str | None = None
    call_limits: Limits = field(default_factory=Limits)
    keyring: Keyring | None = None
    max_fetch_bytes: int = 5 * 1024**3
    public_url: str = ""
    models_dir: Path = MODELS_DIR
    cancel_grace_seconds: float = 10.0
    stop_grace_seconds: float = 20.0
    kept_seconds: Mapping[JobState, float] = field(default_factory=dict)


def from_env(env: Mapping[str, str]) -> WorkerSettings:
    """Read LEASE_SECONDS (default 30), CANCEL_GRACE_SECONDS (10), STOP_GRACE_SECONDS (20), MODELS_DIR (ours),
    RETENTION_DAYS (30), MAX_UPLOAD_BYTES (5 GiB), CACHE_URL (the broker's, if that is a Redis), CALLS_PER_HOST and its
    like (see tasks.outbound_settings, which reads OUTBOUND_ALLOW, too), SECRET_KEY (none) and storage's.

    CELERY_BROKER_URL must be set; Celery reads it by itself. Raises ConfigurationError, of this package or of storage,
    with one line that names the variable.
    """
    if not env.get("CELERY_BROKER_URL"):
        raise ConfigurationError("CELERY_BROKER_URL is not set; it looks like redis://:password@host:6379/0")
    return WorkerSettings(
        database=storage_settings.from_env(env),
        objects=objects_settings.from_env(env),
        lease_seconds=_seconds(env, "LEASE_SECONDS", 30, 1),
        cancel_grace_seconds=_seconds(env, "CANCEL_GRACE_SECONDS", 10, 0),
        stop_grace_seconds=_seconds(env, "STOP_GRACE_SECONDS", 20, 0),
        outbound=outbound_settings.rules(env),
        nameservers=outbound_settings.nameservers(env),
        cache_url=outbound_settings.cache_url(env),
        call_limits=outbound_settings.limits(env),
        keyring=keyring_from_env(env),
        max_fetch_bytes=outbound_settings.whole(env, "MAX_UPLOAD_BYTES", 5 * 1024**3, MAX_OBJECT_BYTES),
        public_url=env.get("PUBLIC_URL", "").rstrip("/"),
        kept_seconds=retention_settings.from_env(env),
        models_dir=Path(env.get("MODELS_DIR") or MODELS_DIR),
    )


def _seconds(env: Mapping[str, str], name: str, default: float, least: float) -> float:
    raw = env.get(name) or str(default)
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not least <= value <= 3600:
        raise ConfigurationError(f"{name} must be a number of seconds from {least:g} to 3600, not {raw!r}")
    return value
