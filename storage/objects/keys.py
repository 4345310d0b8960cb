"""What may be asked of an object store: keys, prefixes, ranges, lifetimes, names. Pure; raises ValueError."""

import unicodedata
from datetime import timedelta
from urllib.parse import quote

from storage.objects import MAX_SIGNED_FOR

MAX_KEY_BYTES = 1024  # S3's limit


def check_key(key: str) -> None:
    """Refuse keys that some store would change or refuse, so that all stores agree on what a key is."""
    if not key or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise ValueError(f"an object key has 1 to {MAX_KEY_BYTES} bytes, this one has {len(key)} characters")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"an object key has no empty, '.' or '..' segment: {key!r}")
    if "\\" in key or any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise ValueError(f"an object key has no backslash, control character or lone surrogate: {key!r}")


def check_prefix(prefix: str) -> None:
    """Accept the empty prefix and folders, which end with a slash."""
    if not prefix:
        return
    if not prefix.endswith("/"):
        raise ValueError(f"a prefix is empty or ends with a slash: {prefix!r}")
    check_key(prefix[:-1])


def check_range(start: int | None, end: int | None) -> None:
    """Refuse negative offsets; ranges past the end are cut, not refused."""
    if (start or 0) < 0 or (end or 0) < 0:
        raise ValueError(f"a range has no negative offset: [{start}, {end})")


def check_expiry(expires: timedelta) -> None:
    """A signed URL lives from one second to seven days."""
    if not timedelta(seconds=1) <= expires <= MAX_SIGNED_FOR:
        raise ValueError(f"a signed URL lives between one second and seven days, not {expires}")


def attachment(filename: str) -> str:
    """The Content-Disposition (RFC 6266) that makes a browser save the answer under this name."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
