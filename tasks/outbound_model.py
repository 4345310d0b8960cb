"""What is asked of somebody else, and what is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds. `connect`: from the look-up of the name to the end of the TLS handshake; `read`: between two pieces of
    what is sent or received; `total`: for all of it, redirects included.
    """

    connect: float = 5
    read: float = 30
    total: float = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class FileBody:
    """A body that is streamed from a file, with some bytes before and after it."""

    before: bytes
    path: Path
    after: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request. `redirects`: how many are followed; with 0 a redirect is an answer like others.

    `whose` tenant asks: the look-ups of one do not hold up another's.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | FileBody | None
    timeouts: Timeouts
    redirects: int = 0
    whose: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The beginning of an answer: names of headers are in lower case; `url` is the one that answered."""

    status: int
    headers: Mapping[str, str]
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer whose body has been written; `bytes` is its size, unpacked, `seconds` what all of it took."""

    status: int
    headers: Mapping[str, str]
    url: str
    seconds: float
    bytes: int


# Both run between other exchanges, on their event loop: they must not wait, and what they raise ends the exchange.
Write = Callable[[bytes], None]
Receive = Callable[[Head], Write | None]  # None: the body is not wanted
