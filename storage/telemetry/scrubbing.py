"""What must not leave the platform in the words of an error: secrets, and what tenants have sent us. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

HIDDEN = "[hidden]"
LONGEST = 1000  # characters of a message
SHORTEST = 4  # of a value that is looked for: shorter ones are in every text
MOST_VALUES = 2000

# SQLAlchemy shows a statement's parameters, PostgreSQL a row's values, pydantic what it was given.
_ROWS = re.compile(
    r"\[(?:SQL|parameters):.*\Z|^(?:DETAIL|CONTEXT):[^\n]*|(?<=input_value=).*?(?=, input_type=|\]|\Z)",
    re.DOTALL | re.MULTILINE,
)
_SECRETS = (
    re.compile(r"\b(?:mk_|whsec_|whsk_|sk_|pk_|ghp_|xox[a-z]-|AKIA)[A-Za-z0-9_+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),  # JWT
    re.compile(r"(?<=://)[^\s/@]+(?=@)"),  # user and password in a URL
    re.compile(r"(?<=\?)[^\s'\"<>)\]]+"),  # a URL's query
    re.compile(r"(?i)(?<=bearer )\S+|(?<=basic )[A-Za-z0-9+/=]{6,}"),
    re.compile(
        r"(?i)(?<![a-z])((?:api[_-]?)?key|secret|token|password|passwd|pwd|authorization|cookie|signature|credential)"
        r"(s?['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&)}\]]+)"
    ),
    re.compile(r"\b[A-Za-z0-9+_-]{32,}={0,2}"),  # keys, digests, bytes in base64
    re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"),  # a person's address
)


def scrubbed(text: str, hidden: Iterable[Any] = ()) -> str:
    """The text without secrets, rows, and whatever stands in the JSON values `hidden`; at most LONGEST characters."""
    text = _ROWS.sub(HIDDEN, text[: 20 * LONGEST])
    for value in sorted(set(_texts(hidden)), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(_hide, text)
    return text[:LONGEST]


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{HIDDEN}" if found.re.groups else HIDDEN


def _texts(given: Iterable[Any]) -> Iterator[str]:
    """Texts and long numbers in JSON values, as they would stand in a message; at most MOST_VALUES of them."""
    left, count = list(given), 0
    while left and count < MOST_VALUES:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
        elif not isinstance(value, bool) and isinstance(value, str | int | float) and len(str(value)) >= SHORTEST:
            yield from {str(value), repr(value)[1:-1] if isinstance(value, str) else str(value)}
