"""Publishing many messages at once, and to consumers that wait for a token."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Producer
from kombu.exceptions import BatchPublishError  # type: ignore[attr-defined]  # new in 5.7, as is `batch`
from kombu.transport import redis

TOKEN_MILLISECONDS = 3_600_000  # a token for a queue that nobody consumes any more goes by itself


@contextmanager
def pipelined(producer: Producer, *, most: int = 250) -> Iterator[None]:
    """Have what is published through this producer sent in one pipeline, at the end or when `most` have gathered.

    A body that raises discards what has not been sent. RabbitMQ gets each message at once. Raises what the broker's
    client raises, one of the connection's `connection_errors` or `channel_errors`: then some may have been sent.
    """
    try:
        with producer.batch(max_size=most):  # type: ignore[attr-defined]
            yield
    except BatchPublishError as exc:
        raise (exc.__cause__ or exc) from exc


class PublishBatch(redis.PublishBatch):  # type: ignore[misc]  # kombu has no types
    """kombu's, which leaves one token per queue and flush, after the messages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: dict[str, None] = {}

    def tell(self, wake: str) -> None:
        """Have a token left under this key."""
        self._told[wake] = None

    def flush(self) -> None:
        if self._buffered:
            for wake in self._told:  # all of them: a flush may come between the word and its message
                leave_token(self.pipeline, wake)
        super().flush()


def leave_token(pipe: Any, wake: str) -> None:
    """Leave the token that says that there are messages: however often, it is one, and it wakes one consumer."""
    pipe.zadd(wake, {"1": 0})
    pipe.pexpire(wake, TOKEN_MILLISECONDS)
