"""What stands for errors with the same reason. Pure."""

import hashlib
import re

_VARYING = re.compile(
    r"\b[a-z]+_[0-9a-hjkmnp-tv-z]{26}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8,}\b|\d{4,}"
)


def fingerprint(*reasons: str) -> str:
    """Twelve hexadecimal digits that stand for these words."""
    return hashlib.sha256("\0".join(reasons).encode("utf-8", "replace")).hexdigest()[:12]


def without_ids(message: str) -> str:
    """The message with ids and long numbers, which vary, replaced."""
    return _VARYING.sub("#", message)
