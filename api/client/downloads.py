"""Brings what stands at a link into a file, as it comes, never whole in memory."""

import secrets
from pathlib import Path
from typing import BinaryIO

from api.client.connection import Connection, retried


def download(connection: Connection, href: str, target: Path | BinaryIO) -> int:
    """Return the bytes brought. A path is written whole or not at all; only then there is another try."""
    if isinstance(target, Path):
        return retried(lambda: _bring_whole(connection, href, target))
    return _bring(connection, href, target)


def _bring_whole(connection: Connection, href: str, target: Path) -> int:
    part = target.with_name(f".millrace-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as opened:
            size = _bring(connection, href, opened)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def _bring(connection: Connection, href: str, target: BinaryIO) -> int:
    size = 0
    with connection.stream(href, {"Accept-Encoding": "identity"}) as response:
        for chunk in response.iter_bytes():
            target.write(chunk)
            size += len(chunk)
    return size
