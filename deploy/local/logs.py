"""The log file of each part: kept across one restart of the stack, bounded while it runs."""

import os
import shutil
from pathlib import Path

LARGEST = 16 * 1024 * 1024
"""Bytes that a log may have before its content moves on to `.log.1`."""


def begin(log: Path) -> None:
    """Start an empty log; the one before becomes `.log.1`."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists():
        log.replace(_previous(log))
    log.touch(mode=0o600)


def open_for_child(log: Path) -> int:
    """Open the log for a child's output and return the descriptor.

    Appending matters: `trim` empties the file under the child's hands, and the child must go on at the new end.
    """
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def trim(log: Path, largest: int = LARGEST) -> None:
    """Move a log that has grown too large to `.log.1`, under the hands of the program that writes it."""
    if size(log) > largest:
        shutil.copyfile(log, _previous(log))
        os.truncate(log, 0)


def size(log: Path) -> int:
    """Bytes in the log, 0 when there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def since(log: Path, start: int) -> str:
    """Return what was written after the first `start` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(start if start <= size(log) else 0)
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def tail(log: Path, lines: int = 12) -> list[str]:
    """Return the last lines, without line ends; reads at most 16 KiB."""
    text = since(log, max(0, size(log) - 16 * 1024))
    return text.rstrip().splitlines()[-lines:]


def _previous(log: Path) -> Path:
    return log.with_name(log.name + ".1")
