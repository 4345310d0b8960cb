"""Where the objects live and how long we wait for them, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from storage.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a call may wait, in seconds, before the store counts as unavailable."""

    connect: float = 5
    part: float = 30  # one request that sends up to 8 MiB
    idle: float = 10  # between two pieces of an answer
    retry: float = 15  # no new try begins later than this after the first
    tries: int = 5  # retries of one request, within `retry`


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectSettings:
    """One bucket and how to reach it; `bucket` None means in this process's memory.

    Without keys the ambient AWS chain is asked: web identity (IRSA), container and instance roles.
    """

    bucket: str | None
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = True
    allow_http: bool = False
    sign_payload: bool = False
    patience: Patience = Patience()


def from_env(env: Mapping[str, str]) -> ObjectSettings:
    """Read STORAGE_URL (`s3://bucket` or `memory://`) and the AWS_* variables that boto3 reads.

    AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) names another server than AWS; AWS_REGION (or AWS_DEFAULT_REGION) is
    needed without it. Raises ConfigurationError with one line that names the variable.
    """
    url = _required(env, "STORAGE_URL")
    parts = _split("STORAGE_URL", url)
    if parts.scheme == "memory":
        return ObjectSettings(bucket=None)
    if parts.scheme != "s3" or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ConfigurationError(f"STORAGE_URL must be s3://bucket or memory://, not {url!r}")
    access_key, secret_key = _key_pair(env)
    endpoint = _endpoint(env)
    return ObjectSettings(
        bucket=parts.netloc,
        endpoint=endpoint,
        region=_region(env, endpoint),
        access_key=access_key,
        secret_key=secret_key,
        session_token=env.get("AWS_SESSION_TOKEN") or None,
        # A bucket's own host name needs DNS that only AWS is sure to have; a dot in the name breaks its certificate.
        path_style=endpoint is not None or "." in parts.netloc,
        allow_http=_is_http(endpoint),
        sign_payload=_is_http(endpoint) and not _is_loopback(endpoint),
    )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"{name} is missing: set it, for example to s3://bucket")
    return value


def _split(name: str, url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as exc:
        raise ConfigurationError(f"{name} is not a URL: {url!r}") from exc


def _key_pair(env: Mapping[str, str]) -> tuple[str | None, str | None]:
    access_key, secret_key = env.get("AWS_ACCESS_KEY_ID") or None, env.get("AWS_SECRET_ACCESS_KEY") or None
    if access_key and not secret_key:
        raise ConfigurationError("AWS_SECRET_ACCESS_KEY is missing although AWS_ACCESS_KEY_ID is set")
    if secret_key and not access_key:
        raise ConfigurationError("AWS_ACCESS_KEY_ID is missing although AWS_SECRET_ACCESS_KEY is set")
    return access_key, secret_key


def _endpoint(env: Mapping[str, str]) -> str | None:
    name = "AWS_ENDPOINT_URL_S3" if env.get("AWS_ENDPOINT_URL_S3") else "AWS_ENDPOINT_URL"
    url = env.get(name)
    if not url:
        return None
    parts = _split(name, url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ConfigurationError(f"{name} must be http://host:port or https://host:port")
    return url.rstrip("/")


def _region(env: Mapping[str, str], endpoint: str | None) -> str:
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    if region:
        return region
    if endpoint is None:
        raise ConfigurationError("AWS_REGION is missing: name the bucket's region, or set AWS_ENDPOINT_URL_S3")
    return "us-east-1"  # what servers other than AWS take


def _is_http(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")


def _is_loopback(endpoint: str | None) -> bool:
    host = urlsplit(endpoint).hostname if endpoint else None
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
