"""What can go wrong on one machine, a sentence each."""

from pathlib import Path


class BadSetting(Exception):
    """An environment variable has a value that cannot be used; the message names it."""


class CannotPrepare(Exception):
    """A server cannot be run on this machine; the message says why and what to do."""


class AlreadyRunning(Exception):
    """Another launcher holds this home folder.

    `pid` is that process, 0 when it could not be read.
    """

    def __init__(self, home: Path, pid: int) -> None:
        super().__init__(f"{home} is in use by process {pid or '(unknown)'}; stop that one first")
        self.pid = pid


class PartFailed(Exception):
    """A part could not be brought to life; the message is a readable block with the end of its log."""
