"""What the relay has sent, as a real broker holds it."""

import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from scheduler.hints import Hints
from tasks.hinted import steps_of


@pytest.fixture
def broker(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    monkeypatch.setenv("CELERY_BROKER_URL", broker_url)
    with redis.Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def hints(broker: "redis.Redis") -> Iterator[Hints]:
    made = Hints()
    made.begin_epoch()
    yield made
    made.close()


def messages(broker: "redis.Redis", queue: str = "default") -> list[dict[str, Any]]:
    """What waits in a queue, oldest first, of normal priority and then low."""
    keys = [queue, f"{queue}\x06\x163", f"{queue}\x06\x166"]
    raw = [item for key in keys for item in reversed(cast(list[bytes], broker.lrange(key, 0, -1)))]
    return [json.loads(item) for item in raw]


def steps_in(broker: "redis.Redis", queue: str = "default") -> list[str]:
    hints = [json.loads(base64.b64decode(message["body"]))[1] for message in messages(broker, queue)]
    return [step for hint in hints for _, _, step in steps_of(hint)]
