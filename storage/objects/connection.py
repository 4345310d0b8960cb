"""obstore's client for one bucket."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import S3Store

from storage.objects.settings import ObjectSettings

if TYPE_CHECKING:  # obstore has these in its stubs only
    from obstore.store import ClientConfig, RetryConfig, S3Config

_process_of_runtime: list[int] = []  # obstore's threads live in the process that used it first, and in no fork of it


def refuse_after_fork() -> None:
    """Raise RuntimeError where obstore would hang for ever: in the fork of a process that has used it."""
    if not _process_of_runtime:
        _process_of_runtime.append(os.getpid())
    elif _process_of_runtime[0] != os.getpid():
        raise RuntimeError("obstore was used before this process was forked: use objects only after the fork")


def connect(settings: ObjectSettings, limits: "ClientConfig") -> S3Store:
    """Make obstore's client; it opens no connection and starts no thread before its first request."""
    patience = settings.patience
    config: S3Config = {
        "region": settings.region,
        "virtual_hosted_style_request": not settings.path_style,
        "unsigned_payload": not settings.sign_payload,
    }
    if settings.endpoint is not None:
        config["aws_endpoint_url_s3"] = settings.endpoint  # this name, since the variable of this name beats all others
    if settings.access_key is not None and settings.secret_key is not None:
        config["access_key_id"] = settings.access_key
        config["secret_access_key"] = settings.secret_key
    if settings.session_token is not None:
        config["session_token"] = settings.session_token
    client: ClientConfig = {
        "allow_http": settings.allow_http,
        "connect_timeout": timedelta(seconds=patience.connect),
        **limits,
    }
    retry: RetryConfig = {
        "max_retries": patience.tries,
        "retry_timeout": timedelta(seconds=patience.retry),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    return S3Store(settings.bucket, config=config, client_options=client, retry_config=retry)
