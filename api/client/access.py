"""Where the platform is and with which key to ask it."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.client.failures import MillraceError

_KEY = re.compile(r"[\x21-\x7e]+")
_NOWHERE = (
    "no platform is named: set MILLRACE_URL and MILLRACE_API_KEY (or give --url and --key), "
    "or start one with `make up` in this folder or one above"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The address of the API, without a slash at its end, and a key; `tenant` is the one for whom an operator acts."""

    url: str
    key: str
    tenant: str | None = None


def from_env(
    url: str | None = None,
    key: str | None = None,
    *,
    tenant: str | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Access:
    """Find address and key: as given, else MILLRACE_URL and MILLRACE_API_KEY, else of a platform that runs here.

    That one is found by its run.json: in MILLRACE_HOME, or in `.millrace` of `folder` (default: the current one) or
    of a folder above. Its key is never used for another address. An operator's key acts for `tenant`, where one is
    named. Raises MillraceError.
    """
    url = (url or environ.get("MILLRACE_URL") or "").rstrip("/")
    key = key or environ.get("MILLRACE_API_KEY") or ""
    if not url or not key:
        here = _running_here(environ.get("MILLRACE_HOME"), folder or Path.cwd())
        if here is None and not url:
            raise MillraceError(_NOWHERE)
        url = url or (here.url if here else "")
        key = key or (here.key if here and here.url == url else "")
    if not url.startswith(("http://", "https://")):
        raise MillraceError(f"the address must begin with http:// or https://, not {url!r}")
    if not key:
        raise MillraceError(f"no API key for {url}: set MILLRACE_API_KEY, or give --key")
    if not _KEY.fullmatch(key):
        raise MillraceError("the API key has characters that no key has; was it copied whole?")
    return Access(url=url, key=key, tenant=tenant)


def _running_here(home: str | None, folder: Path) -> Access | None:
    places = [Path(home)] if home else [above / ".millrace" for above in (folder, *folder.absolute().parents)]
    for place in places:
        try:
            told = json.loads((place / "run.json").read_text(encoding="utf-8"))
            return Access(url=str(told["api"]).rstrip("/"), key=str(told["key"]))
        except OSError:
            continue
        except (ValueError, KeyError, TypeError) as exc:
            raise MillraceError(f"{place / 'run.json'} cannot be understood; start the platform again") from exc
    return None
