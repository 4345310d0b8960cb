"""Whether a broker takes messages, without Celery: a write to Redis, or the greeting of RabbitMQ."""

import socket
import ssl
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

REDIS = ("redis", "rediss", "unix", "redis+socket")
AMQP = ("amqp", "pyamqp", "amqps")
PROBE_KEY = "millrace:probe"

_HEADER = b"AMQP\x00\x00\x09\x01"  # of AMQP 0-9-1; the server's answer is a method frame, type 1, or its own header


def ping(url: str, *, seconds: float, master: str = "mymaster") -> str | None:
    """Why the broker of this URL takes no message now; None if it does. `master` is its name among sentinels.

    Every part of the way may take `seconds`. Nothing is said of a broker of another kind than Redis and RabbitMQ.
    """
    scheme = urlsplit(url.split(";")[0]).scheme
    try:
        if scheme in AMQP:
            return _greeting(url, seconds)
        if scheme in REDIS or scheme == "sentinel":
            with connected(url, seconds=seconds, master=master) as client:
                # Written, not only read: one that is full, or a replica, answers a PING as if nothing were.
                client.set(PROBE_KEY, "1", ex=60)
    except redis.exceptions.NoPermissionError:
        return None  # it answers; what its rules let us write is for those who write something
    except (redis.RedisError, OSError, ValueError) as exc:
        return _words(exc)
    return None


def connected(url: str, *, seconds: float, master: str = "mymaster") -> "redis.Redis":
    """A client of the Redis that Celery would find by this URL; connects at its first use.

    Raises redis.RedisError, OSError, and ValueError for a URL of another kind.
    """
    patience = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    once = Retry(NoBackoff(), 0)
    first = urlsplit(url.split(";")[0])
    if first.scheme != "sentinel":
        return redis.Redis.from_url(url.replace("redis+socket://", "unix://", 1), retry=once, **patience)
    places = [urlsplit(one) for one in url.split(";")]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(place.hostname or "localhost", place.port or 26379) for place in places], sentinel_kwargs=patience
    )
    password = None if first.password is None else unquote(first.password)
    database = int(first.path.strip("/") or 0)
    found: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        master, password=password, db=database, retry=once, **patience
    )
    return found


def _greeting(url: str, seconds: float) -> str | None:
    parts = urlsplit(url)
    is_tls = parts.scheme == "amqps"
    with socket.create_connection(
        (parts.hostname or "localhost", parts.port or (5671 if is_tls else 5672)), seconds
    ) as plain:
        wire = _secured(plain, parts.hostname) if is_tls else plain
        wire.settimeout(seconds)
        wire.sendall(_HEADER)
        answer = wire.recv(7)
    if answer[:1] == b"\x01":
        return None
    return "it answers, but not as RabbitMQ does" if answer else "it closed the connection"


def _secured(plain: socket.socket, host: str | None) -> ssl.SSLSocket:
    """Encrypted, and no more: whether the certificate is good is for the processes that send something."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=host)


def _words(exc: Exception) -> str:
    if isinstance(exc, redis.TimeoutError | TimeoutError):
        return "it did not answer in time"
    if isinstance(exc, redis.exceptions.OutOfMemoryError):
        return "it is full: it refuses to write (maxmemory)"
    if isinstance(exc, redis.exceptions.ReadOnlyError):
        return "it is a replica, which takes no writes"
    if isinstance(exc, redis.AuthenticationError):
        return "it refuses the password"
    if isinstance(exc, ConnectionRefusedError) or "Connection refused" in str(exc):
        return "nothing listens at its address"
    return str(exc).splitlines()[0][:200] if str(exc) else type(exc).__name__
