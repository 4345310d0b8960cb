"""The environment, read as every process reads it: all that is wrong at once, and what is only unwise."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from api import settings as api_settings
from api.errors import ConfigurationError as ApiError
from deploy.doctor.findings import Finding, fail, ok, one_line, warn
from scheduler import settings as scheduler_settings
from scheduler.errors import ConfigurationError as SchedulerError
from storage import retention_settings
from storage.errors import ConfigurationError as StorageError
from storage.telemetry import failure_settings, trace_settings
from storage.telemetry import settings as telemetry_settings
from tasks import settings as tasks_settings
from tasks.errors import ConfigurationError as TasksError

ABOUT = "configuration"
MOST_FLAWS = 40

_READERS: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
    "API": api_settings.from_env,
    "workers": tasks_settings.from_env,
    "scheduler": scheduler_settings.from_env,
    "retention": retention_settings.from_env,
    "all": lambda env: telemetry_settings.from_env(env, "doctor"),
    "traces": trace_settings.from_env,
    "errors": failure_settings.from_env,
}
_ERRORS = (ApiError, SchedulerError, StorageError, TasksError)

# Put in place of what is missing or wrong, so that the next flaw is found as well.
_WHATEVER = {
    "DATABASE_URL": "postgresql://user@127.0.0.1/name",
    "CELERY_BROKER_URL": "redis://127.0.0.1",
    "STORAGE_URL": "memory://",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_REGION": "us-east-1",
}
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\b(?:HOST|PORT)\b")


def check(env: Mapping[str, str]) -> list[Finding]:
    """Every flaw, of every process."""
    flaws: dict[str, list[str]] = {}
    for process, read in _READERS.items():
        for flaw in _flaws(read, env):
            flaws.setdefault(flaw, []).append(process)
    if flaws:
        mend = "Set it right where the processes get their environment, and start them again: docs/settings.md."
        return [fail(ABOUT, f"{flaw} ({', '.join(whose)})", mend) for flaw, whose in flaws.items()]
    return [*_unwise(env)] or [ok(ABOUT, "Every process could start with these settings.")]


def _flaws(read: Callable[[Mapping[str, str]], Any], env: Mapping[str, str]) -> list[str]:
    """What is wrong, one after the other: a variable that was named is taken away before it is read again."""
    tried, taken, told = dict(env), set[str](), list[str]()
    for _ in range(MOST_FLAWS):
        try:
            read(tried)
        except _ERRORS as exc:
            flaw = one_line(exc)
        else:
            break
        named = next(iter(_VARIABLE.findall(flaw)), "")
        if named not in taken and flaw not in told:  # not that what was taken away is missing now
            told.append(flaw)
        if named in tried and named not in taken:
            del tried[named]
            taken.add(named)
        elif named in _WHATEVER and named not in tried:
            tried[named] = _WHATEVER[named]
        else:
            break
    return told


def _unwise(env: Mapping[str, str]) -> Iterator[Finding]:
    if not env.get("SECRET_KEY"):
        yield warn(
            ABOUT,
            "SECRET_KEY is not set: tenants can keep no secrets, and no webhook is delivered.",
            "Set it to 32 random characters or more, the same for all processes.",
        )
    if env.get("STORAGE_URL", "").startswith("memory:"):
        yield warn(
            ABOUT,
            "STORAGE_URL is memory://: each process has objects of its own, and loses them when it ends.",
            "Set it to s3://bucket.",
        )
    broker = env.get("CELERY_BROKER_URL", "")
    if not env.get("CACHE_URL") and not broker.startswith(("redis://", "rediss://", "unix://")):
        yield warn(
            ABOUT,
            "CACHE_URL is not set: nobody can sign in to the page, and each worker limits its calls by itself.",
            "Set it to a Redis or Valkey, redis://:password@host:6379/0.",
        )
    if env.get("PUBLIC_URL", "").startswith("http://") and not _is_local(env["PUBLIC_URL"]):
        yield warn(
            ABOUT,
            "PUBLIC_URL is not encrypted: keys and sign-ins can be read on the way.",
            "Put the API behind TLS, and set PUBLIC_URL to https://….",
        )
    if env.get("DATABASE_DIRECT_URL") and env["DATABASE_DIRECT_URL"] == env.get("DATABASE_URL"):
        yield warn(
            ABOUT,
            "DATABASE_DIRECT_URL says the same as DATABASE_URL.",
            "Leave it out where there is no pooler; where there is one, it must lead past it.",
        )


def _is_local(url: str) -> bool:
    return re.match(r"http://(127\.|localhost\b|\[::1\])", url) is not None
