"""Tells whether the broker has forgotten what it was sent: it was wiped, restarted, or replaced by another server."""

from typing import Any

from kombu import Connection

NAME = "millrace.epoch"


def is_remembered(connection: Connection) -> bool:
    """Whether this is still the broker, in the same run, in which `begin` was called last."""
    if connection.transport.driver_type == "amqp":
        return _queue_is_there(connection)
    client = _client(connection)
    kept = client.get(NAME)
    return kept is not None and kept.decode() == _run_of(client)


def begin(connection: Connection) -> None:
    """Have `is_remembered` say yes from now on, until the broker forgets."""
    if connection.transport.driver_type == "amqp":
        with connection.channel() as opened:
            channel: Any = opened
            channel.queue_declare(queue=NAME, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        return
    client = _client(connection)
    client.set(NAME, _run_of(client))


def _queue_is_there(connection: Connection) -> bool:
    """RabbitMQ keeps confirmed messages of quorum queues over a restart: only a new or emptied node lacks the queue."""
    with connection.channel() as opened:
        channel: Any = opened
        try:
            channel.queue_declare(queue=NAME, passive=True)
        except connection.channel_errors:
            return False
    return True


def _client(connection: Connection) -> Any:
    channel: Any = connection.default_channel
    return channel.client


def _run_of(client: Any) -> str:
    """Redis forgets up to a second at a restart, even with an append-only file: each run has an id of its own."""
    return str(client.info("server")["run_id"])
