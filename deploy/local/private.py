"""Small files that only their owner may read: written whole or not at all."""

import os
import secrets
import tempfile
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace the file in one step, mode 0600; a reader sees the old text or the new, never half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def secret(path: Path) -> str:
    """Return the secret kept in this file, 43 characters safe in URLs; made at the first call."""
    try:
        kept = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = secrets.token_urlsafe(32)
        write(path, kept)
    return kept
