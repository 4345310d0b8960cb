"""Which platform is meant: that of this environment, or one that `make up` keeps running here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.doctor.errors import NoPlatform

_ADDRESSES = ("DATABASE_URL", "CELERY_BROKER_URL", "STORAGE_URL")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The environment that its processes have, and where that comes from."""

    env: Mapping[str, str]
    words: str


def find(environ: Mapping[str, str], home: Path | None, folder: Path) -> Place:
    """The platform of `home` if that is given; else of the environment, if that has addresses; else one that runs in
    MILLRACE_HOME, in `.millrace` of `folder`, or of a folder above; else that of the environment, which has none.

    Raises NoPlatform where nothing runs in `home`.
    """
    if home is not None:
        running = _running_in(home, environ)
        if running is None:
            raise NoPlatform(f"no platform runs in {home}: there is no run.json in it; `make up` starts one")
        return running
    if not any(environ.get(name) for name in _ADDRESSES):
        named = environ.get("MILLRACE_HOME")
        above = [place / ".millrace" for place in (folder, *folder.absolute().parents)]
        for place in [Path(named)] if named else above:
            running = _running_in(place, environ)
            if running is not None:
                return running
    if not any(environ.get(name) for name in _ADDRESSES):
        words = "this environment, which names no servers, and no platform runs here: try another folder, or --home DIR"
        return Place(env=dict(environ), words=words)
    return Place(env=dict(environ), words="this environment")


def _running_in(home: Path, environ: Mapping[str, str]) -> Place | None:
    """What its processes have: what they inherit, and what leads them to its servers."""
    try:
        told = json.loads((home / "run.json").read_text(encoding="utf-8"))
        leading = {str(name): str(value) for name, value in told["env"].items()}
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise NoPlatform(f"{home / 'run.json'} cannot be understood; start the platform again") from exc
    return Place(env={**environ, **leading}, words=f"the platform that runs in {home}")
