"""A broker is asked as Celery would find it, and why it takes nothing is said in words."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy.engine import make_url

from storage.broker_ping import PROBE_KEY, ping
from tests.scheduler.sentinel import MASTER, watched

NOWHERE = "127.0.0.1:1"


@contextmanager
def answering(words: bytes | None) -> Iterator[int]:
    """A server on a port of loopback that says this to the first who comes, and hangs up; None: it does neither."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(8)
                if words is None:
                    done.wait(10)
                else:
                    connection.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            done.set()
            thread.join()


def test_a_redis_is_written_to_and_forgets_it_within_a_minute(broker_url: str) -> None:
    assert ping(broker_url, seconds=2) is None
    with redis.Redis.from_url(broker_url) as client:
        assert 0 < int(client.ttl(PROBE_KEY)) <= 60


def test_a_wrong_password_is_told_as_such(broker_url: str) -> None:
    wrong = make_url(broker_url).set(password="wrong").render_as_string(hide_password=False)
    assert ping(wrong, seconds=2) == "it refuses the password"


def test_the_master_is_found_through_its_sentinels(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        assert ping(servers.url, seconds=2, master=MASTER) is None
        replica = f"redis://127.0.0.1:{servers.ports['second']}/0"
        assert ping(replica, seconds=2) == "it is a replica, which takes no writes"
        assert ping(servers.url, seconds=2, master="another") is not None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"\x01\x00\x00\x00\x00\x01\xd0", None),  # Connection.Start, as RabbitMQ begins
        (b"AMQP\x00\x01\x00", "it answers, but not as RabbitMQ does"),
        (b"", "it closed the connection"),
        (None, "it did not answer in time"),
    ],
)
def test_a_rabbitmq_is_known_by_its_greeting(words: bytes | None, reason: str | None) -> None:
    with answering(words) as port:
        assert ping(f"amqp://guest:guest@127.0.0.1:{port}//", seconds=0.3 if words is None else 5) == reason


def test_nobody_at_the_address_is_told() -> None:
    assert ping(f"amqp://{NOWHERE}//", seconds=2) == "nothing listens at its address"
    assert ping(f"redis://{NOWHERE}/0", seconds=2) == "nothing listens at its address"


def test_of_a_broker_of_another_kind_nothing_is_said() -> None:
    assert ping("sqs://", seconds=1) is None
