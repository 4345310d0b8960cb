"""What must not stand in a log line: values of fields named like secrets, and what looks like a secret in a text."""

import re

MASK = "***"

_SECRET_WORDS = frozenset(
    {"key", "secret", "token", "authorization", "password", "passwd", "passphrase", "cookie", "credentials"}
)
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")

# API keys, webhook secrets and their signing keys, whatever follows `Bearer` or `Basic`, and passwords in URLs.
_SECRETS = re.compile(
    r"\b(?P<prefix>mk_|whsec_|whsk_)[A-Za-z0-9_+/=-]{12,}"
    r"|\b(?P<scheme>(?:[Bb]earer|[Bb]asic) )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<user>://[^\s/:@?#]*:)[^\s/@]+(?=@)"
)


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret: `key`, `api_key`, `X-Auth-Token`, but not `key_id` or `tokens`."""
    words = _WORDS.findall(name)
    return bool(words) and words[-1].lower() in _SECRET_WORDS


def masked(text: str) -> str:
    """The text without what looks like a secret in it."""
    # Without any of these the expression need not be tried. In one expression: nearly every value comes through here.
    if "mk_" in text or "wh" in text or "earer " in text or "asic " in text or "://" in text:
        return _SECRETS.sub(_mask, text)
    return text


def _mask(found: re.Match[str]) -> str:
    return (found["prefix"] or found["scheme"] or found["user"] or "") + MASK
