"""How files of tenants are answered with: a browser guesses no other type of them, and runs nothing in them."""

from collections.abc import Mapping
from typing import Final

SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
UNKNOWN = "application/octet-stream"

# The JavaScript types of the WHATWG's MIME Sniffing standard, section 4.6, and the one of styles: under `nosniff`
# browsers load nothing of another type as a script or a style, whoever's page asks for it.
_SCRIPTS = frozenset(
    {f"{kind}/{name}" for kind in ("application", "text") for name in ("ecmascript", "javascript")}
    | {f"{kind}/x-{name}" for kind in ("application", "text") for name in ("ecmascript", "javascript")}
    | {f"text/javascript1.{minor}" for minor in range(6)}
    | {"text/jscript", "text/livescript"}
)
_LOADED = _SCRIPTS | {"text/css"}


def safe_type(told: str) -> str:
    """The media type to answer with for a file of which this one was told: UNKNOWN for scripts and styles."""
    plain = told.partition(";")[0].strip().lower()
    return UNKNOWN if plain in _LOADED else told
