"""An HTTP client in a process of its own (tests.bench.sender), cheap enough to measure servers with."""

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """Send `count` requests, in turn from `requests`, each a whole HTTP/1.1 request.

    Without `rate` each of the `clients` sends its next as soon as it has its answer. With it, requests become due at
    random (Poisson) so many times a second whatever the server does, and `clients` is the most connections.
    """

    url: str
    requests: Sequence[bytes]
    count: int
    clients: int = 1
    rate: float | None = None
    seed: int = 10


@dataclass(kw_only=True, slots=True)
class Seen:
    """`due` is the time (of the clock on the wall) at which a request should have been sent, `took` seconds from then.

    Both are in the order of the answers, as are `ids` and `which` (the place of the request in the orders).
    """

    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    which: list[int] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds


def post(path: str, body: bytes, *, key: str = "", content_type: str = "application/json") -> bytes:
    """A whole request."""
    words = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    if key:
        words.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*words, "", ""]).encode() + body


def send(orders: Orders) -> Seen:
    """Have another process carry out the orders. Raises RuntimeError if a request was not answered with 2xx."""
    command = [sys.executable, "-m", "tests.bench.sender"]
    done = subprocess.run(command, input=pickle.dumps(orders), stdout=subprocess.PIPE, check=True)
    seen = pickle.loads(done.stdout)
    assert isinstance(seen, Seen)
    if seen.refused:
        raise RuntimeError(f"{seen.refused} of {orders.count} requests were refused")
    return seen
