"""Keeps secrets out of what is printed."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from deploy.doctor.findings import Finding

MASK = "•••"
_SECRET_NAMES = re.compile(r"KEY|SECRET|PASSWORD|PASSWD|TOKEN|DSN|CREDENTIAL|AUTH|HEADERS", re.IGNORECASE)
_IN_URL = re.compile(r"(://)(?!(?:user)?:password@)[^/@\s]*@")  # but for the one in examples
SHORTEST = 4  # a shorter one would be masked in every other word


def secrets_in(env: Mapping[str, str]) -> list[str]:
    """What must not be printed of an environment, the longest first."""
    found: set[str] = set()
    for name, value in env.items():
        if _SECRET_NAMES.search(name):
            found |= {value, *value.split(",")}
        if "://" in value:
            found |= set(_passwords(value))
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def masked(finding: Finding, secrets: list[str]) -> Finding:
    """The same, with no secret in any of its words."""
    return replace(
        finding,
        sentence=_mask(finding.sentence, secrets),
        mend=_mask(finding.mend, secrets),
        facts=_mask(dict(finding.facts), secrets),
    )


def _passwords(value: str) -> list[str]:
    """Of URLs, of which sentinels have several, with semicolons."""
    found: list[str] = []
    for url in value.replace(",", ";").split(";"):
        try:
            password = urlsplit(url).password
        except ValueError:
            continue
        if password:
            found += [password, unquote(password)]
    return found


def _mask(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _mask(one, secrets) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask(one, secrets) for one in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, MASK)
    return _IN_URL.sub(rf"\1{MASK}@", value)
