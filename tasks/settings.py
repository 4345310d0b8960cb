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
from tasks import image_settings, outbound_settings
from tasks.addresses import Rules
from tasks.budget import Limits
from tasks.environment import seconds, whole
from tasks.errors import ConfigurationError
from tasks.image_settings import ImageSettings

MODELS_DIR = Path(__file__).parent.parent / "deploy" / "models"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """`lease_seconds`: how long a step stays with a worker that says nothing. `outbound`: what may be called besides
    public addresses, `nameservers` who is asked for those (none: the system), `cache_url` where workers share
    `call_limits` (none: each for itself), `keyring` what opens tenants' secrets. `max_fetch_bytes` of an input by URL.
    `public_url` stands before the links that third parties are sent. `cancel_grace_seconds`: how long a step may go on
    that is not wanted any more; `stop_grace_seconds`: how long steps may go on in a worker that is told to stop.
    `models_dir`: the networks of image.analyze, a manifest each. `kept_seconds`: how long ended jobs are kept, by
    state; missing: for ever. `rendition_days`: how long finished pictures that no job has; 0: they are not shared.
    `report_seconds`: a step tells of its progress at most so often, and not at all if it is done sooner.
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
    images: ImageSettings = field(default_factory=ImageSettings)
    rendition_days: float = retention_settings.DEFAULT_RENDITION_DAYS
    report_seconds: float = 0.25


def from_env(env: Mapping[str, str]) -> WorkerSettings:
    """Read LEASE_SECONDS (default 30), CANCEL_GRACE_SECONDS (10), STOP_GRACE_SECONDS (20), MODELS_DIR (ours),
    RETENTION_DAYS (30), RENDITION_DAYS (7), MAX_UPLOAD_BYTES (5 GiB), CACHE_URL (the broker's, if that is a Redis),
    CALLS_PER_HOST and its like (see tasks.outbound_settings, which reads OUTBOUND_ALLOW, too), SECRET_KEY (none),
    IMAGE_ENGINE and its like (see tasks.image_settings) and storage's.

    CELERY_BROKER_URL must be set; Celery reads it by itself. Raises ConfigurationError, of this package or of storage,
    with one line that names the variable.
    """
    if not env.get("CELERY_BROKER_URL"):
        raise ConfigurationError("CELERY_BROKER_URL is not set; it looks like redis://:password@host:6379/0")
    return WorkerSettings(
        database=storage_settings.from_env(env),
        objects=objects_settings.from_env(env),
        lease_seconds=seconds(env, "LEASE_SECONDS", 30, 1),
        cancel_grace_seconds=seconds(env, "CANCEL_GRACE_SECONDS", 10, 0),
        stop_grace_seconds=seconds(env, "STOP_GRACE_SECONDS", 20, 0),
        outbound=outbound_settings.rules(env),
        nameservers=outbound_settings.nameservers(env),
        cache_url=outbound_settings.cache_url(env),
        call_limits=outbound_settings.limits(env),
        keyring=keyring_from_env(env),
        max_fetch_bytes=whole(env, "MAX_UPLOAD_BYTES", 5 * 1024**3, MAX_OBJECT_BYTES),
        public_url=env.get("PUBLIC_URL", "").rstrip("/"),
        kept_seconds=retention_settings.from_env(env),
        images=image_settings.from_env(env),
        rendition_days=retention_settings.rendition_days(env),
        models_dir=Path(env.get("MODELS_DIR") or MODELS_DIR),
    )
