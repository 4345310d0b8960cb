"""One program of the stack: how it starts, when it is ready, how it stops."""

import enum
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals

from deploy.local import logs

GRACE_SECONDS = 4.0
"""How long a part has to stop before it is killed, where nothing else is said."""

Ready = Callable[[int], bool]
"""Asked every few milliseconds, with the length of the log when this run of the program began."""


class Layer(enum.Enum):
    """What a part is to the stack; processes stop before servers."""

    SERVER = "server"
    """Somebody else's server: stopped last."""

    STEP = "step"
    """A command that runs once; done when it exits with status 0."""

    PROCESS = "process"
    """A program of ours that runs until it is stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What the supervisor needs to know of one program.

    `after` names the parts that must be ready first. `prepare` is called once, before the first start, in the part's
    own thread, and raises CannotPrepare. `uid` is the user to change to, None for ours. `leaves` are files that a
    killed program leaves behind and that are ours to remove.
    """

    name: str
    layer: Layer
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    ready: Ready
    after: tuple[str, ...] = ()
    ready_seconds: float = 30.0
    stop_signal: Signals = SIGTERM
    grace_seconds: float = GRACE_SECONDS
    uid: int | None = None
    leaves: tuple[Path, ...] = ()
    prepare: Callable[[], None] | None = None


def when_http_ok(port: int, path: str) -> Ready:
    """Ready when a GET on this loopback port is answered with 200."""

    def ready(_log_start: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def when_logged(log: Path, words: str) -> Ready:
    """Ready when this run has written these words to its log."""

    def ready(log_start: int) -> bool:
        return words in logs.since(log, log_start)

    return ready


def when_both(first: Ready, second: Ready) -> Ready:
    """Ready when both are."""
    return lambda log_start: first(log_start) and second(log_start)


def never(_log_start: int) -> bool:
    """Not ready before it exits: for a step."""
    return False
