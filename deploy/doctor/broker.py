"""The broker: whether it takes messages, keeps them, and is one that works with Celery."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu import Connection

from deploy.doctor.findings import Finding, fail, ok, one_line, warn
from storage.broker_ping import AMQP, REDIS, connected, ping
from tasks.names import Queue

ABOUT = "broker"
ANSWER_SECONDS = 2.0
OLDEST_REDIS = (7, 2)
OLDEST_RABBIT = (3, 10)
FULL_SHARE = 0.8  # of maxmemory

_AWAY = "See whether it runs and can be reached, and whether CELERY_BROKER_URL is right. Jobs wait in the database."


def check(url: str, master: str) -> list[Finding]:
    """All that it says of itself."""
    scheme = urlsplit(url.split(";")[0]).scheme
    if scheme not in (*REDIS, *AMQP, "sentinel"):
        mend = "Use Redis or Valkey, or RabbitMQ."
        return [warn(ABOUT, f"Millrace is not tested with a broker of the kind {scheme}://.", mend)]
    reason = ping(url, seconds=ANSWER_SECONDS, master=master)
    if reason is not None:
        return [fail(ABOUT, f"The broker does not take messages: {reason}.", _AWAY)]
    return _rabbit(url) if scheme in AMQP else _redis(url, master)


def _redis(url: str, master: str) -> list[Finding]:
    try:
        with connected(url, seconds=ANSWER_SECONDS, master=master) as client:
            info: dict[str, Any] = client.info()
    except (redis.RedisError, OSError) as exc:
        return [fail(ABOUT, f"The broker does not say how it stands: {one_line(exc)}", _AWAY)]
    return [*_redis_server(info), *_redis_memory(info)]


def _redis_server(info: Mapping[str, Any]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    words = f"{name} {info.get('valkey_version') or info.get('redis_version')}"
    if _version(str(info.get("redis_version", ""))) < OLDEST_REDIS:
        yield fail(ABOUT, f"{words} is too old.", "Use Redis or Valkey 7.2 or later.")
    else:
        yield ok(ABOUT, f"{words} takes messages.")
    if info.get("role") != "master":
        yield fail(ABOUT, "It is a replica.", "Let CELERY_BROKER_URL lead to the master, or to its sentinels.")
    if not info.get("aof_enabled"):
        yield warn(
            ABOUT,
            "It keeps no append-only file: a restart forgets what workers were told (they are told again), the budgets"
            " of calls, and who is signed in.",
            "Set appendonly yes.",
        )
    elif info.get("aof_last_write_status") != "ok":
        yield fail(ABOUT, "It cannot write its append-only file.", "Is its disk full? Its log says why.")


def _redis_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy, most, used = info.get("maxmemory_policy"), int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if policy != "noeviction":
        yield fail(
            ABOUT,
            f"It drops keys when it is full (maxmemory-policy {policy}): messages and sign-ins would be lost.",
            "Set maxmemory-policy noeviction.",
            policy=policy,
        )
    elif most and used >= FULL_SHARE * most:
        mend = "Raise maxmemory; what else is kept in it?"
        yield warn(ABOUT, f"{100 * used // most} % of its memory are in use; at 100 % it takes nothing.", mend)
    else:
        yield ok(ABOUT, f"{used / 1e6:.0f} MB of memory are in use; it drops nothing.", used_bytes=used)


def _rabbit(url: str) -> list[Finding]:
    try:
        with Connection(url, connect_timeout=ANSWER_SECONDS, heartbeat=0) as connection:
            connection.connect()
            made: Any = connection.connection
            server = {str(key): value for key, value in made.server_properties.items()}
            return [*_rabbit_server(server), *_rabbit_queues(connection)]
    except Exception as exc:
        if not isinstance(exc, (OSError, *Connection(url).connection_errors)):
            raise
        return [fail(ABOUT, f"The broker refuses us: {one_line(exc)}", _AWAY)]


def _rabbit_server(server: Mapping[str, Any]) -> Iterator[Finding]:
    words = f"{server.get('product', 'RabbitMQ')} {server.get('version', '')}".strip()
    if _version(str(server.get("version", ""))) < OLDEST_RABBIT:
        yield fail(ABOUT, f"{words} is too old.", "Use RabbitMQ 3.10 or later, for quorum queues.")
    else:
        yield ok(ABOUT, f"{words} takes messages.")


def _rabbit_queues(connection: Connection) -> Iterator[Finding]:
    """Whether each queue is there, of the right type, and has consumers. Nothing is made."""
    for queue in Queue:
        found = _declared(connection, queue.value, passive=True)
        if found is None:
            mend = "It is made by the first worker, or the first message."
            yield warn(ABOUT, f"There is no queue '{queue.value}' yet.", mend)
            continue
        if _declared(connection, queue.value, passive=False) is None:
            yield fail(
                ABOUT,
                f"The queue '{queue.value}' is not a quorum queue: messages are lost with its node.",
                "Stop the workers and the relay, delete the queue, and start them: nothing is lost, all is sent again.",
            )
        words = f"The queue '{queue.value}' has {_many(found.consumer_count, 'consumer')}"
        yield ok(ABOUT, f"{words} and holds {_many(found.message_count, 'message')}.", consumers=found.consumer_count)


def _declared(connection: Connection, queue: str, *, passive: bool) -> Any:
    """What the server says of the queue; None if it is not there, or, told as ours, not like it."""
    channel: Any = connection.channel()
    try:
        return channel.queue_declare(
            queue=queue, passive=passive, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
    except connection.channel_errors:
        return None
    finally:
        channel.close()


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _version(words: str) -> tuple[int, ...]:
    parts = words.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
